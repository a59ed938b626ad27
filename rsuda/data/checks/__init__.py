"""Check scenes and labels, and write notes on what is doubtful."""
