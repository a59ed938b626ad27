"""Find domains, pair them, and cut them into patches."""
