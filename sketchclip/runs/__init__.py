"""Runs on disk: their folders, results, settings and grids. Nothing here needs PyTorch."""
