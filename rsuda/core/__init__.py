"""Errors, legends, specs, settings and files: what every folder may use."""
