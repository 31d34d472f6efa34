"""What data asks for: it is looked at, and a template of a space file is filled in for it."""
