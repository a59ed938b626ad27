"""Run methods, seeds and pairs, and tabulate their scores."""
