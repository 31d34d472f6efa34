"""The small language of `constraints:`: comparisons of sums and products of numbers and names.

Nothing is evaluated by Python; what is not in this grammar is an error at its column.

    comparison = sum (("<=" | "<" | ">=" | ">" | "==") sum)+
    sum        = product (("+" | "-") product)*
    product    = factor (("*" | "/") factor)*
    factor     = ("+" | "-") factor | "(" sum ")" | number | name
    name       = "params" | "val/accuracy" | "model.width" | "model.width.0" ...
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, cast

MAX_LENGTH = 300
"""Characters of a constraint; its text is a key in Optuna's tables, which have room for 512."""
MAX_DEPTH = 32

Lookup = Callable[[str], float | None]
"""The value of a name; None when it has none (yet)."""
Arithmetic = Literal["+", "-", "*", "/"]
Comparator = Literal["<=", "<", ">=", ">", "=="]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)"
    r"|(?P<name>(?:(?:val|train|test)/)?[A-Za-z_]\w*(?:\.\w+)*)"
    r"|(?P<compare><=|>=|==|<|>)"
    r"|(?P<other>[-+*/()]))",
    re.ASCII,
)
_HINTS = {
    "=": "; write == or <=",
    "!": "; write <, <=, >=, > or ==",
    "^": "; powers are not available: multiply",
    "&": "; give each condition as a constraint of its own",
    "|": "; give each condition as a constraint of its own",
    ",": "; numbers have no separators",
}


class ExpressionError(ValueError):
    """What is wrong with a constraint's text, and at which character of it."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    name: str
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Negated:
    of: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Combined:
    operator: Arithmetic
    left: Expression
    right: Expression


Expression = Number | Name | Negated | Combined


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """A comparison, or a chain of them: `1e3 <= params <= 2e6`."""

    text: str
    terms: tuple[Expression, ...]
    comparators: tuple[Comparator, ...]

    @property
    def names(self) -> tuple[Name, ...]:
        """The names in it, each once, in the order of the text."""
        found = {name.name: name for term in reversed(self.terms) for name in reversed(list(_names_of(term)))}
        return tuple(sorted(found.values(), key=lambda name: name.offset))

    def excess(self, lookup: Lookup) -> float | None:
        """By how much the constraint is missed: 0 or less when it holds, and always finite.

        None when a name in it has no value. What is no number (1 / 0) misses it by as much as there is.
        """
        values = [evaluate(term, lookup) for term in self.terms]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return None
        pairs = zip(self.comparators, known, known[1:], strict=False)
        return max(_excess(comparator, left, right) for comparator, left, right in pairs)


def _names_of(term: Expression) -> Iterator[Name]:
    match term:
        case Name():
            yield term
        case Negated():
            yield from _names_of(term.of)
        case Combined():
            yield from _names_of(term.left)
            yield from _names_of(term.right)


def evaluate(term: Expression, lookup: Lookup) -> float | None:
    """The value of an expression; None when a name in it has none."""
    match term:
        case Number():
            return term.value
        case Name():
            return lookup(term.name)
        case Negated():
            value = evaluate(term.of, lookup)
            return None if value is None else -value
        case Combined():
            left, right = evaluate(term.left, lookup), evaluate(term.right, lookup)
            return None if left is None or right is None else _combine(term.operator, float(left), float(right))


def _combine(operator: Arithmetic, left: float, right: float) -> float:
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return left / right if right != 0.0 else math.nan


def _excess(comparator: Comparator, left: float, right: float) -> float:
    match comparator:
        case "<=" | "<":
            missed = left - right
        case ">=" | ">":
            missed = right - left
        case "==":
            missed = abs(left - right)
    if math.isnan(missed):  # inf - inf too
        return sys.float_info.max
    if missed == 0.0 and comparator in ("<", ">"):
        return sys.float_info.min
    return max(-sys.float_info.max, min(sys.float_info.max, missed))


def parse(text: str) -> Constraint:
    """Read a constraint; ExpressionError with the character that is wrong."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"a constraint has at most {MAX_LENGTH} characters, got {len(text)}", MAX_LENGTH)
    return _Parser(text).comparison()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    offset: int


class _Parser:
    """Recursive descent over the tokens of one constraint."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = [*_tokens(text), _Token("end", "", len(text.rstrip()))]
        self._index = 0
        self._depth = 0

    def comparison(self) -> Constraint:
        terms = [self._sum()]
        comparators: list[Comparator] = []
        while self._now.kind == "compare":
            comparators.append(cast("Comparator", self._take().text))
            terms.append(self._sum())
        if self._now.kind != "end":
            raise self._unexpected("an operator or the end")
        if not comparators:
            raise ExpressionError("expected a comparison, such as params <= 2e6", self._now.offset)
        found = Constraint(text=" ".join(self._text.split()), terms=tuple(terms), comparators=tuple(comparators))
        if not found.names:
            raise ExpressionError("names nothing that differs between trials, such as params", 0)
        return found

    @property
    def _now(self) -> _Token:
        return self._tokens[self._index]

    def _take(self) -> _Token:
        self._index += 1
        return self._tokens[self._index - 1]

    def _sum(self) -> Expression:
        found = self._product()
        while self._now.text in ("+", "-"):
            operator = cast("Arithmetic", self._take().text)
            found = Combined(operator=operator, left=found, right=self._product())
        return found

    def _product(self) -> Expression:
        found = self._factor()
        while self._now.text in ("*", "/"):
            operator = cast("Arithmetic", self._take().text)
            found = Combined(operator=operator, left=found, right=self._factor())
        return found

    def _factor(self) -> Expression:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"nested deeper than {MAX_DEPTH}", self._now.offset)
        try:
            return self._atom()
        finally:
            self._depth -= 1

    def _atom(self) -> Expression:
        token = self._now
        if token.kind == "number":
            return Number(value=_number(self._take()))
        if token.kind == "name":
            self._take()
            return Name(name=token.text, offset=token.offset)
        if token.text in ("+", "-"):
            self._take()
            inner = self._factor()
            return Negated(of=inner) if token.text == "-" else inner
        if token.text == "(":
            self._take()
            inner = self._sum()
            if self._now.text != ")":
                raise self._unexpected("a closing parenthesis")
            self._take()
            return inner
        raise self._unexpected("a number, a name or a parenthesis")

    def _unexpected(self, wanted: str) -> ExpressionError:
        got = repr(self._now.text) if self._now.text else "the end"
        return ExpressionError(f"expected {wanted}, got {got}", self._now.offset)


def _number(token: _Token) -> float:
    value = float(token.text)
    if not math.isfinite(value):
        raise ExpressionError(f"{token.text} is too large for a number", token.offset)
    return value


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if match is None:
            start = position + len(text[position:]) - len(text[position:].lstrip())
            character = text[start]
            raise ExpressionError(f"unexpected character {character!r}{_HINTS.get(character, '')}", start)
        kind = str(match.lastgroup)
        yield _Token(kind, match[kind], match.start(kind))
        position = match.end()
