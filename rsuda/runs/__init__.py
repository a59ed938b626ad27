"""Run folders: settings, weights, file names."""
