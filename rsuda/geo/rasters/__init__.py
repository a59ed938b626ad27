"""Read raster files: windows at any GSD, valid pixels, bands and alignment."""
