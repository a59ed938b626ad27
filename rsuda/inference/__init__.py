"""Predict scenes: windows, blending, maps."""
