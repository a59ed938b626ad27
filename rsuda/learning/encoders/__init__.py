"""Encoders: where they come from, how they become pyramids of features, and their first weights."""
