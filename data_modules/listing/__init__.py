"""Which files lie in which class folder."""
