"""Meaning of classes, known without their images: vectors of their names."""
