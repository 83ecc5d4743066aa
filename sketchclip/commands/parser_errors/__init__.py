"""Errors of parsers in one line: the option or key, what was expected, and the nearest names."""
