"""Image encoders: what a method asks of one, whether CLIP or not."""
