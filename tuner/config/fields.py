"""What a field of a section accepts, read from its annotation: for messages, for int or float, for paths."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic.fields import FieldInfo

from tuner.config.schema import Section

NumberType = Literal["int", "float", "any"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldType:
    """An annotation without its `Annotated`, and the constraints that were in it."""

    annotation: Any
    constraints: tuple[Any, ...] = ()
    description: str = ""

    @classmethod
    def of(cls, annotation: Any, constraints: tuple[Any, ...] = (), description: str = "") -> FieldType:
        if get_origin(annotation) is Annotated:
            inner, *metadata = get_args(annotation)
            for item in metadata:
                constraints += tuple(item.metadata) if isinstance(item, FieldInfo) else (item,)
            return cls.of(inner, constraints, description)
        return cls(annotation=annotation, constraints=constraints, description=description)

    @classmethod
    def of_field(cls, field: FieldInfo) -> FieldType:
        return cls.of(field.annotation, tuple(field.metadata), " ".join((field.description or "").split()))

    @property
    def members(self) -> tuple[FieldType, ...]:
        """The alternatives of a union; itself when it is none."""
        if get_origin(self.annotation) in (Union, types.UnionType):
            return tuple(FieldType.of(member) for member in get_args(self.annotation))
        return (self,)

    @property
    def section(self) -> type[Section] | None:
        """The section class that the field holds, if any."""
        for member in self.members:
            if isinstance(member.annotation, type) and issubclass(member.annotation, Section):
                return member.annotation
        return None

    @property
    def accepts_list_of_any_length(self) -> bool:
        return any(
            member.annotation is Any or (_origin(member) is tuple and Ellipsis in get_args(member.annotation))
            for member in self.members
        )

    @property
    def number_type(self) -> NumberType | None:
        """Which numbers a range for this field has; `any` where the field does not say, None where it takes none."""
        kinds = [member.annotation for member in self.members]
        if Any in kinds:
            return "any"
        return "float" if float in kinds else "int" if int in kinds else None

    @property
    def names(self) -> list[str]:
        """The text values of an enumerated field."""
        return [name for member in self.members for name in _literals(member) if isinstance(name, str)]

    def descend(self, part: str) -> FieldType | None:
        """The field below: a section's field, a list's item, anything in a free mapping; None when there is none."""
        return next((below for member in self.members if (below := _descend(member, part))), None)

    def expected(self) -> str:
        """What the field takes, in words: `a number above 0`, `one of relu, gelu`, `a mapping, or off`."""
        members = [member for member in self.members if member.annotation is not type(None)]
        words = list(dict.fromkeys(_expected(member, self.description) for member in members))
        if len(members) < len(self.members):
            words.append("off" if self.section else "null")
        return ", or ".join(words)


def field_at(section: type[Section], path: tuple[str, ...]) -> FieldType | None:
    """The field that a path inside a section names, list indices and free options included; None when there is none."""
    found: FieldType | None = FieldType(annotation=section)
    for part in path:
        found = found.descend(part) if found else None
    return found


def _origin(field: FieldType) -> Any:
    return get_origin(field.annotation)


def _literals(field: FieldType) -> tuple[Any, ...]:
    return get_args(field.annotation) if _origin(field) is Literal else ()


def _descend(field: FieldType, part: str) -> FieldType | None:
    if field.annotation is Any or _origin(field) is dict:
        return FieldType(annotation=Any)
    if field.section:
        below = field.section.model_fields.get(part)
        return FieldType.of_field(below) if below else None
    if _origin(field) is not tuple or not part.isdecimal():
        return None
    items = get_args(field.annotation)
    if Ellipsis in items:
        return FieldType.of(items[0])
    return FieldType.of(items[int(part)]) if int(part) < len(items) else None


def _expected(field: FieldType, description: str) -> str:
    if literals := _literals(field):
        return str(literals[0]) if len(literals) == 1 else f"one of {', '.join(map(str, literals))}"
    if _origin(field) is tuple:
        items = get_args(field.annotation)
        count = "" if Ellipsis in items else f" of {len(items)}"
        return f"a list{count}, each {FieldType.of(items[0]).expected()}"
    if field.annotation is int or field.annotation is float:
        noun = "an integer" if field.annotation is int else "a number"
        return " ".join([noun, *_limits(field)])
    if field.annotation is str:
        return _expected_text(field, description)
    if _origin(field) is dict or field.section:
        return "a mapping"
    return "true or false" if field.annotation is bool else "any value"


def _expected_text(field: FieldType, description: str) -> str:
    if any(isinstance(item, MaxLen) and item.max_length == 1 for item in field.constraints):
        return "one character"
    if description and any(getattr(item, "pattern", None) for item in field.constraints):
        return description.rstrip(".")  # says it better than a regular expression
    return "text that is not empty" if any(isinstance(item, MinLen) for item in field.constraints) else "text"


def _limits(field: FieldType) -> Iterator[str]:
    low = next((item for item in field.constraints if isinstance(item, (Ge, Gt))), None)
    high = next((item for item in field.constraints if isinstance(item, (Le, Lt))), None)
    if isinstance(low, Gt):
        yield f"above {_number(low.gt)}"
    elif isinstance(low, Ge):
        yield f"from {_number(low.ge)}" if high else f"of {_number(low.ge)} or more"
    if isinstance(high, Le):
        yield f"to {_number(high.le)}" if isinstance(low, Ge) else f"and at most {_number(high.le)}"
    elif isinstance(high, Lt):
        yield f"to below {_number(high.lt)}" if isinstance(low, Ge) else f"and below {_number(high.lt)}"


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
