"""Trained models: found, loaded, described, exported and shared."""
