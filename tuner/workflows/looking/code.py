"""What a file of own code asks for: its classes are read, and none of it is run.

A class of a Module becomes the model, one of a Dataset the data; what their `__init__` has a default for is an option.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from tuner.errors import UsageError
from tuner.workflows.looking.draft import Asked, Draft, line, option, scalar, some

OFFERED = frozenset({"input_shape", "input_shapes", "n_outputs", "n_classes", "n_tokens", "padding"})
"""What a model is given by its name, without being an option."""
MODEL, DATA, TRAINING = "own-model", "own-data", "own-training"
FEW = 4
"""How much smaller and larger than its default a number may be."""
SMALL = 0.01
"""Below it a number is varied by its magnitude, from it on as a share."""
SPLIT = line("  split: {val: 0.2, test: 0.2, stratify: true}", "where the targets are classes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One class, with what its `__init__` takes."""

    name: str
    options: dict[str, bool | int | float | str]
    missing: tuple[str, ...]
    """Parameters without a default that nothing gives."""


def look(asked: Asked) -> Draft:
    """The last Module and the last Dataset of a file; UsageError where there is none of both."""
    try:
        tree = ast.parse(asked.path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"{asked.path}: is no Python that can be read: {error}") from error
    models, datasets = _classes(tree, "Module", OFFERED), _classes(tree, "Dataset", frozenset())
    if not models and not datasets:
        raise UsageError(
            f"{asked.path}: no class of torch.nn.Module and no Dataset in it; for a loop of your own begin with"
            f" `tuner init {TRAINING}` and name {asked.path.name}:FUNCTION in it"
        )
    sections = {"data": _data(asked, datasets[-1])} if datasets else {}
    if models:
        sections |= {"model": _model(asked, models[-1]), "space": _space(models[-1])}
    return Draft(
        template=MODEL if models else DATA,
        about="Your own code, named by file.py:Class; its arguments are under options, and can be searched.",
        sections=sections,
        found=tuple(_told(models, "model") + _told(datasets, "data")),
    )


def _classes(tree: ast.Module, base: str, offered: frozenset[str]) -> list[Code]:
    return [
        _code(node, offered)
        for node in tree.body
        if isinstance(node, ast.ClassDef) and any(_name(item).endswith(base) for item in node.bases)
    ]


def _name(base: ast.expr) -> str:
    """`nn.Module` as Module, `Dataset[tuple]` as Dataset."""
    return ast.unparse(base).partition("[")[0].rpartition(".")[2]


def _code(node: ast.ClassDef, offered: frozenset[str]) -> Code:
    options: dict[str, bool | int | float | str] = {}
    missing = []
    for name, default in _parameters(node):
        if name in offered:
            continue
        value = default.value if isinstance(default, ast.Constant) else None
        if default is None:
            missing.append(name)
        elif isinstance(value, bool | int | float | str):
            options[name] = value
    return Code(name=node.name, options=options, missing=tuple(missing))


def _parameters(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr | None]]:
    """The parameters of `__init__` with their defaults."""
    begin = next((item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"), None)
    if begin is None:
        return
    positional = [*begin.args.posonlyargs, *begin.args.args][1:]
    without = [None] * (len(positional) - len(begin.args.defaults))
    yield from ((item.arg, default) for item, default in zip(positional, [*without, *begin.args.defaults], strict=True))
    yield from (
        (item.arg, default) for item, default in zip(begin.args.kwonlyargs, begin.args.kw_defaults, strict=True)
    )


def _data(asked: Asked, code: Code) -> tuple[str, ...]:
    return ("data:", *_named(asked, code), "  batch_size: 64", SPLIT)


def _model(asked: Asked, code: Code) -> tuple[str, ...]:
    return ("model:", *_named(asked, code))


def _named(asked: Asked, code: Code) -> list[str]:
    missing = [line(f"  # options: give {', '.join(code.missing)}, which has no default")] if code.missing else []
    values = ", ".join(f"{name}: {_value(value)}" for name, value in code.options.items())
    options = [f"  options: {{{values}}}"] if values else []
    return ["  kind: python", option("target", f"{asked.written}:{code.name}"), *options, *missing]


def _value(value: bool | float | str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return scalar(value) if isinstance(value, str) else repr(value)


def _space(code: Code) -> tuple[str, ...]:
    """Numbers around their defaults: whole ones and rates, of which a range can be guessed."""
    lines = ["space:"]
    for name, value in code.options.items():
        if isinstance(value, bool | str):
            continue
        if isinstance(value, int) and value > 1:
            low, high = max(1, value // FEW), value * FEW
            lines.append(f"  model.options.{name}: {{low: {low}, high: {high}, log: true}}")
        elif isinstance(value, float) and SMALL <= value < 1:
            lines.append(f"  model.options.{name}: {{low: 0.0, high: {max(0.5, value)}}}")
        elif isinstance(value, float) and 0 < value < SMALL:
            lines.append(f"  model.options.{name}: {{low: {value / FEW!r}, high: {value * FEW!r}, log: true}}")
    return (*lines, "  optimizer.lr: {low: 5e-4, high: 2e-2, log: true}")


def _told(found: list[Code], what: str) -> list[str]:
    if not found:
        return []
    others = [code.name for code in found[:-1]]
    also = f" (the last one; also {some(others, 3)})" if others else ""
    missing = "".join(f"; options must give {name}" for name in found[-1].missing)
    return [f"{what}: {found[-1].name}{also}{missing}"]
