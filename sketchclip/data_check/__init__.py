"""Check of a dataset on disk: what is there, what is wrong, what to type."""
