"""Search of one's own photos by sketch, and models to share.

Kept free of imports: the commands' files are in here, and their help must not load PyTorch.
"""
