"""Read, write and trace polygons, and read labels from them."""
