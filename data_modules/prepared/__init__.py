"""Images decoded once, for fast reading."""
