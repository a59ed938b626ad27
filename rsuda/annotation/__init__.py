"""Suggest windows to annotate."""
