"""The version of rsuda."""

__version__ = "0.1.0"
