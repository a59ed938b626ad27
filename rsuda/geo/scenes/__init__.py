"""List scenes, and read their images, labels and regions."""
