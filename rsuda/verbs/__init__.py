"""What a user asks for: each verb is a plain function that a command or a notebook calls."""
