"""One file a kind of model: its options, and how they become a network.

Space files are read and checked without torch, so a file here imports nothing of torch before it builds: `build`
imports what it needs, torch's modules and the layers in `tuner/models/`, when it is called. Files are imported through
the table, `tuner/config/schema/models.py`.
"""
