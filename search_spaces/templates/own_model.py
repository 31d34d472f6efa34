"""A model of your own: a class, or a function that returns a Module."""

import math

from torch import Tensor, nn


class Net(nn.Module):
    """One hidden layer; takes what it asks for of input_shape, n_classes and n_outputs, and model.options."""

    def __init__(self, input_shape: tuple[int, ...], n_classes: int, hidden: int = 64, dropout: float = 0.0) -> None:
        super().__init__()
        self.hidden = nn.Linear(math.prod(input_shape), hidden)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """[B, *input_shape] -> [B, n_classes]."""
        return self.head(self.dropout(self.hidden(x.flatten(1)).relu()))
