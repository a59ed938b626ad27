"""Score models on domains, with and without labels."""
