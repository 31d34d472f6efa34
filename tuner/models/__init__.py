"""Networks: each built from its config section, the shapes of the data and a seed."""
