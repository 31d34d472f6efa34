"""Programs that keep experiments, told what a search does: one file each.

`base` says what they are told, `kinds` builds the one that a section of the space file names, `channel` keeps a search
safe from all of them.
"""
