"""Estimate how good a map is: random samples of its pixels, and accuracies and areas with intervals from their labels."""
