"""The space file as a located document, and the parameters that it varies."""
