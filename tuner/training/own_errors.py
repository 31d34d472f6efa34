"""What users' own functions can do wrong."""

from __future__ import annotations


class OwnCodeError(Exception):
    """A function of the user's does not do what it has to do; the message has its place."""
