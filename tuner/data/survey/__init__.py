"""What a data set looks like: its parts, features, twins and samples, for people who want to see it before a search."""
