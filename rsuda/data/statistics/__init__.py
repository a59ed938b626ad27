"""Measure domains: classes, value ranges and colours."""
