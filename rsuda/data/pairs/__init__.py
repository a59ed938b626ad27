"""Pair a source with a target, align them, and cut patches."""
