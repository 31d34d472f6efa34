"""What a search looks like while it runs, on a terminal or in a notebook.

What is shown is a function of a frozen `SearchState`, which comes from the events of a search in this process
(`follow`) or from the database of one that runs elsewhere (`stored`). `view` turns a state into lines of text for a
width and a height, `draw` gives them colours, `live` and `notebook` put them where people look.
"""
