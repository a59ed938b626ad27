"""Read and write the files of a map of classes: rasters, names, styles and items."""
