"""Datasets and samplers over lists of images."""
