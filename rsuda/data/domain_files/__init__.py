"""Read domain files, and match their patterns with files."""
