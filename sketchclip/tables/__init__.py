"""The paper's tables: reported values beside measured ones."""
