"""Train a method on a domain pair."""
