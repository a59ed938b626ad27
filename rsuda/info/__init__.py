"""Describe rasters, runs and domains."""
