"""Read and write georeferenced rasters and vectors. Nothing here imports torch."""
