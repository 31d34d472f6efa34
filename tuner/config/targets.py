"""Where a parameter may go: which paths can be varied, and which kinds their section can have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tuner.config.fields import FieldType, field_at
from tuner.config.messages import suggestion
from tuner.config.sections import KINDS, TRIAL_SECTIONS, class_of

_SAME_DATA = "all trials are trained and scored on the same data"
_FORBIDDEN = {
    "version": "is a property of the file",
    "study": "names the study",
    "seed": "is one for the whole study; each trial's seeds are derived from it",
    "search": "says how to search",
    "confirm": "says what happens after the search",
    "trackers": "says who is told of trials",
    "objective": "is what all trials are compared by",
    "data.split": "must be the same for all trials, or their values cannot be compared",
    **dict.fromkeys(
        ("data.kind", "data.path", "data.root", "data.target", "data.task", "data.delimiter", "data.in_memory"),
        _SAME_DATA,
    ),
    **dict.fromkeys(("data.val_path", "data.test_path"), _SAME_DATA),
    "data.download": _SAME_DATA,
    **dict.fromkeys(
        ("data.target_key", "data.input_keys", "data.epoch_items", "data.collate", "data.n_tokens"), _SAME_DATA
    ),
    **dict.fromkeys(
        (
            "data.file",
            "data.form",
            "data.time",
            "data.group",
            "data.horizon",
            "data.look_back",
            "data.gaps",
            "data.missing",
            "data.season",
        ),
        _SAME_DATA,
    ),
    **dict.fromkeys(
        ("data.subset", "data.classes", "data.size", "data.image_size", "data.num_classes", "data.signal", "data.name"),
        _SAME_DATA,
    ),
    **dict.fromkeys(
        (f"data.{name}" for name in ("x", "y", "x_val", "y_val", "x_test", "y_test", "labels", "inputs", "padding")),
        _SAME_DATA,
    ),
    **dict.fromkeys(("data.text", "data.encoding", "data.image", "data.splits", "data.revision"), _SAME_DATA),
    **dict.fromkeys(("data.decimal", "data.dates", "data.date_format", "data.missing_values"), _SAME_DATA),
    "train.kind": "says who trains; numbers of different code do not compare",
    "train.epoch_timeout": "says when a worker is given up; what a trial is worth must not depend on it",
    "train.device": "says where to train; what a trial is worth must not depend on it",
}
"""Paths that `space:` may not vary, and why."""

_EXAMPLES = {"data": "batch_size", "train": "epochs"}
"""A field that can vary, for the sections whose kind cannot."""

_UNLIMITED = ("options",)
"""Fields that take any key."""


MAX_NAME = 200
"""Characters of a parameter's name; Optuna's tables have room for 512."""


def refusal(name: str) -> str | None:
    """Why a path cannot be varied whatever the kinds are; None when it can."""
    if len(name) > MAX_NAME:
        return f"the name of a parameter has at most {MAX_NAME} characters, got {len(name)}"
    for path, reason in _FORBIDDEN.items():
        if name == path or name.startswith(path + "."):
            return f"cannot be varied: {path} {reason}" if reason != _SAME_DATA else f"cannot be varied: {reason}"
    section, _, rest = name.partition(".")
    if section not in TRIAL_SECTIONS:
        return f"unknown section {section!r}{suggestion(section, TRIAL_SECTIONS)}"
    if not rest or not all(name.split(".")):
        return f"expected the path of one field, such as {section}.{_EXAMPLES.get(section, 'kind')}"
    return None


def fields_by_kind(name: str, kinds: tuple[str | None, ...]) -> dict[str | None, FieldType | None]:
    """The field that a path names under each kind of its section."""
    section, *path = name.split(".")
    return {kind: field_at(class_of(section, kind), tuple(path)) for kind in kinds}


def missing_field(name: str, fields: Mapping[str | None, FieldType | None], searched: list[str]) -> str:
    """What to say about a path that does not exist under every kind that its section can have.

    `searched` are the kinds that the space has for the section, if it varies.
    """
    section, _, rest = name.partition(".")
    lacking = [str(kind) for kind, field in fields.items() if field is None]
    elsewhere = [kind for kind in KINDS.get(section, {}) if fields_by_kind(name, (kind,))[kind]]
    if not elsewhere:
        known = [path for kind in fields for path in paths_of(section, kind)]
        return f"no such field{suggestion(name, dict.fromkeys(known))}"
    message = f"{', '.join(lacking)} {'has' if len(lacking) == 1 else 'have'} no {rest!r} ({_have(elsewhere)})"
    usable = [kind for kind in searched if kind in elsewhere]
    if usable:
        shown = usable[0] if len(usable) == 1 else f"[{', '.join(usable)}]"
        return f"{message}: add when: {{{section}.kind: {shown}}}"
    return f"{message}: remove it, or change {section}.kind"


def _have(kinds: list[str]) -> str:
    return f"{', '.join(kinds)} {'has' if len(kinds) == 1 else 'have'}"


def paths_of(section: str, kind: str | None) -> Iterator[str]:
    """The dotted paths that can be varied in a section of a kind; free options are not listed."""
    yield from _paths(section, FieldType(annotation=class_of(section, kind)))


def _paths(prefix: str, holder: FieldType) -> Iterator[str]:
    assert holder.section is not None
    for name, field in holder.section.model_fields.items():
        path = f"{prefix}.{name}"
        if name in _UNLIMITED or refusal(path):
            continue
        yield path
        below = FieldType.of_field(field)
        if below.section:
            yield from _paths(path, below)
