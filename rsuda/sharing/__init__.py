"""Share models: the card of a run, and a hub that its files are pushed to."""
