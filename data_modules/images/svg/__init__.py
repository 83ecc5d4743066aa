"""SVG files: what a browser would show of them, as strokes."""
