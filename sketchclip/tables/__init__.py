"""The paper's tables: reported figures beside measured ones."""
