"""Describe domains, and make them of rasters, STAC items and torchgeo datasets."""
