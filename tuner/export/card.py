"""The model card of an export."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

from tuner.export import card_use, card_words, own_card
from tuner.export.bundle import Bundle

MAX_LISTED = 30
"""More classes are in bundle.json alone."""


def render(bundle: Bundle) -> str:
    """Markdown: what the model is and is for, how good it is on which data, its limits, and how to use it."""
    if bundle.config.is_own_training:
        return own_card.render(bundle)
    sections = {
        "": [_summary(bundle), *_objectives(bundle)],
        "Intended use": card_words.intended_use(bundle),
        "Metrics": [*_metrics(bundle), *_baselines(bundle), "", _caution(bundle), *_details(bundle)],
        "Data": [*card_words.data(bundle), "", _sizes(bundle), *_classes(bundle)],
        "Training": [*card_words.training(bundle), *_parameters(bundle)],
        "Limits": card_words.limits(bundle),
        "Use": card_use.how_to_load(bundle),
        "Licence": [card_words.LICENCE],
        "Made with": [_versions(bundle)],
    }
    lines = [f"# {bundle.study}, trial {bundle.trial}"]
    for heading, content in sections.items():
        lines += ["", *([f"## {heading}", ""] if heading else []), *content]
    return "\n".join([*lines, ""])


def _summary(bundle: Bundle) -> str:
    size = "" if bundle.n_params is None else f" of {bundle.n_params:,} parameters"
    return (
        f"A `{bundle.config.model.kind}`{size} for {bundle.data.task} on `{bundle.data.kind}`, from a hyperparameter "
        f"search by `{bundle.metric}`: {bundle.value:.6g} at epoch {bundle.epoch}."
    )


def _classes(bundle: Bundle) -> list[str]:
    labels = bundle.data.labels
    if not labels:
        return []
    shown = ", ".join(labels[:MAX_LISTED])
    more = f", and {len(labels) - MAX_LISTED} more (in bundle.json)" if len(labels) > MAX_LISTED else ""
    return ["", f"Classes: {shown}{more}."]


def _parameters(bundle: Bundle) -> list[str]:
    if not bundle.params:
        return []
    rows = [f"| `{name}` | {value} |" for name, value in bundle.params.items()]
    return ["", "What was searched:", "", "| parameter | value |", "|---|---|", *rows]


def _versions(bundle: Bundle) -> str:
    versions = {"tuner": metadata.version("tuner"), **bundle.versions}
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{named}; data fingerprint `{bundle.data.fingerprint[:16]}`."


def _objectives(bundle: Bundle) -> list[str]:
    if not bundle.objectives:
        return []
    values = ", ".join(f"{name} {value:.6g}" for name, value in bundle.objectives.items())
    return [f"It is one of several compromises between objectives: {values}."]


def _caution(bundle: Bundle) -> str:
    if bundle.confirmed is not None:
        return f"{_expectation(bundle)} {_sealed(bundle)}"
    optimistic = "The validation part chose this model, so its numbers are optimistic"
    if bundle.data.n_test == 0:
        return f"{optimistic}; there is no test part."
    return f"{optimistic}; the test part had no say in the choice."


def _expectation(bundle: Bundle) -> str:
    found = bundle.confirmed or {}
    spread = f" +- {found['std']:.2g}" if found["std"] else ""
    return (
        f"This configuration gave {bundle.metric} {found['mean']:.6g}{spread} over {found['seeds']} fresh seeds, after "
        f"the search had seen {found['search_value']:.6g}: expect the former. These weights are those of the best "
        "of all of these runs."
    )


def _sealed(bundle: Bundle) -> str:
    if bundle.data.n_test == 0:
        return "There is no test part."
    return "The test part had no say in the choice, and was scored once."


def _sizes(bundle: Bundle) -> str:
    data = bundle.data
    return (
        f"{data.n_train} rows for training, {data.n_val} for validation, {data.n_test} for the test; "
        f"the network sees {_shape(bundle)} of each input.{_images(bundle)}"
    )


def _shape(bundle: Bundle) -> str:
    """One input after preprocessing: a row of 5 columns may be 17 numbers."""
    data = bundle.data
    sizes = " x ".join(map(str, data.input_shape)) or "1"
    most = "at most " if data.padding is not None else ""
    return f"{most}{sizes} {'tokens' if data.n_tokens is not None else 'numbers'}"


def _images(bundle: Bundle) -> str:
    fit = bundle.preprocess.get("encoder", {}).get("fit")
    return f" Images of any size are brought to it ({fit}): paths, PIL images or uint8 arrays." if fit else ""


def _metrics(bundle: Bundle) -> list[str]:
    names = sorted({name.partition("/")[2] for name, value in bundle.metrics.items() if value is not None})
    rows = [f"| {name} | {_cell(bundle, 'val', name)} | {_cell(bundle, 'test', name)} |" for name in names]
    return ["| metric | validation | test |", "|---|---|---|", *rows]


def _baselines(bundle: Bundle) -> list[str]:
    """What guessing comes to, in the rows of the table of metrics."""
    return [
        f"| {name}, guessing the {way} | {_number(errors, 'val', name)} | {_number(errors, 'test', name)} |"
        for way, errors in bundle.data.baselines.items()
        for name in dict.fromkeys(key.partition("/")[2] for key in errors)
    ]


def _number(errors: Mapping[str, float], split: str, name: str) -> str:
    value = errors.get(f"{split}/{name}")
    return "" if value is None else f"{value:.4f}"


def _details(bundle: Bundle) -> list[str]:
    """What each class came to, and their confusion, on the test part or else the validation part."""
    part = "test" if "test" in bundle.details else "val"
    details: Mapping[str, Any] = bundle.details.get(part, {})
    names = details.get("labels") or details.get("targets") or []
    columns = [name for name in details if name not in ("labels", "targets", "confusion")]
    if not names or len(names) > MAX_LISTED:
        return []
    kind = "class" if "labels" in details else "target"
    lines = ["", f"By {kind}, on the {'test' if part == 'test' else 'validation'} part:", ""]
    lines += [f"| {kind} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for row, name in enumerate(names):
        lines.append(f"| {name} | {' | '.join(_short(details[column][row]) for column in columns)} |")
    matrix = details.get("confusion")
    if matrix and not isinstance(matrix[0][0], list):
        lines += ["", f"| true, by predicted | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
        lines += [f"| {name} | {' | '.join(map(str, row))} |" for name, row in zip(names, matrix, strict=True)]
    return lines


def _short(value: float | None) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.4f}"


def _cell(bundle: Bundle, split: str, name: str) -> str:
    value = bundle.metrics.get(f"{split}/{name}")
    return "" if value is None else f"{value:.4f}"
