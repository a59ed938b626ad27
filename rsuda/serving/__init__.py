"""Serve a model over HTTP: windows in, class rasters or polygons out."""
