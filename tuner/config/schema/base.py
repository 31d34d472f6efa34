"""The base of all sections, and the types of options that several of them have."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Activation = Literal["relu", "gelu", "silu", "tanh", "sigmoid", "leaky_relu", "mish"]
Task = Literal["auto", "classification", "regression", "multilabel", "autoencoding", "language"]
Direction = Literal["maximize", "minimize"]


def as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def off_to_none(value: object) -> object:
    return None if value == "off" else value


def check_encoding(name: str) -> None:
    """ValueError for what is no encoding of text; Python knows base64 and others that are none."""
    try:
        "a".encode(name)
    except (LookupError, ValueError) as error:
        raise ValueError(f"encoding: {name!r} is no encoding of text; such as utf-8, latin-1 or cp1252") from error


def check_delimiter(mark: str | None) -> None:
    """ValueError for what ends a line, or quotes a field."""
    if mark in ("\n", "\r", "\0", '"'):
        raise ValueError(f"delimiter: {mark!r} cannot stand between the fields of a line; such as ',' or ';'")


Width = Annotated[int, Field(ge=1, le=65536)]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]
Widths = Annotated[Width | tuple[Width, ...], BeforeValidator(as_tuple)]
Rates = Annotated[Rate | tuple[Rate, ...], BeforeValidator(as_tuple)]
Betas = Annotated[
    tuple[Annotated[float, Field(ge=0.0, lt=1.0)], Annotated[float, Field(ge=0.0, lt=1.0)]], BeforeValidator(as_tuple)
]
Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Smoothing = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, nothing is converted, nothing changes after it was built."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )
