"""Figures of runs, one module a kind; matplotlib is imported when one is plotted."""
