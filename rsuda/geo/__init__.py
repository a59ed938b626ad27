"""Files that know where they lie: rasters, scenes, domains, vectors. Never torch."""
