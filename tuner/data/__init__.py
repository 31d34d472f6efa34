"""Decoding, splits, preprocessing and batches."""
