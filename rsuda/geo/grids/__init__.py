"""Locate pixels on Earth: grids, projections, windows and resampling."""
