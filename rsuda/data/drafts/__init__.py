"""Draft domain files from folders of images and labels."""
