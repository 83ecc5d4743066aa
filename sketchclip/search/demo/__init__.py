"""Page of ``sketchclip demo``: draw, and see the photos found while you draw."""
