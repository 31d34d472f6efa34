"""What `tuner best` writes, and how it is read back."""
