"""The sentences of a model card that say what a model is for, what it was made of, and what it cannot do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tuner.config.schema import StandardTrain
from tuner.config.schema.sources import Split
from tuner.export.bundle import Bundle

TO_FILL_IN = "_To be filled in before it is published: {what}_"
LICENCE = TO_FILL_IN.format(
    what="the licence of these weights; that of the data, and of pretrained weights it began with, may limit it."
)
FEW_ROWS = 1000
"""Below it the standard error of an accuracy of one half is above 1.6 points."""
RARE = 10
"""How many times rarer the rarest class is than the most frequent one, to be worth a warning."""

INPUTS = {
    "image": "images",
    "table": "rows of a table",
    "window": "series",
    "text": "texts",
    "characters": "texts",
    "sound": "sounds",
    "tensor": "arrays of numbers",
    "named": "several named arrays",
}
GIVES = {
    "classification": "one of {n} classes, with a probability for each",
    "multilabel": "for each of {n} labels whether it holds, with its probability",
    "regression": "{n} number{s}, in the units of the data",
    "autoencoding": "the same input as it rebuilds it",
    "language": "the probability of each of {n} tokens to come next",
}


# --------------------------------------------------------------------------------------------------------------- use


def intended_use(bundle: Bundle) -> list[str]:
    """What it takes and gives, and what only a person can say of it."""
    n_targets = bundle.data.n_targets
    gives = GIVES[bundle.data.task].format(n=n_targets, s="s" * (n_targets > 1))
    return [
        f"It takes {_inputs(bundle)} and gives {gives}. It is meant for inputs like those of its training data, below.",
        "",
        TO_FILL_IN.format(what="who should use it for what, and what it must not be used for."),
    ]


def _inputs(bundle: Bundle) -> str:
    encoder: dict[str, Any] = bundle.preprocess["encoder"]
    kind = str(encoder["kind"])
    if kind == "image":
        channels, height, width = encoder["shape"]
        colour = "grey" if channels == 1 else "colour" if channels == 3 else f"{channels}-channel"  # noqa: PLR2004
        others = " (others are brought to it)" if encoder.get("fit") else ""
        return f"{colour} images of {height} by {width} pixels{others}"
    if kind == "table":
        names = [str(column["name"]) for column in encoder["columns"]]
        return f"rows of a table with the columns {', '.join(f'`{name}`' for name in names)}"
    return INPUTS[kind]


# -------------------------------------------------------------------------------------------------------------- data


def data(bundle: Bundle) -> list[str]:
    """Where the data is from, how it was split and what was done to it."""
    section = bundle.config.data
    source = getattr(section, "path", None) or getattr(section, "name", None)
    where = f", `{source}`" if source else ""
    prepared = " ".join(_preprocessing(bundle))
    lines = [f"Source: `{section.kind}`{where}. {_split(section.split, bundle)}"]
    if prepared:
        lines += ["", f"Preprocessing, fitted on the training part alone: {prepared}"]
    return lines


def _split(split: Split, bundle: Bundle) -> str:
    seed = f"seed {bundle.config.seed}"
    if split.folds is not None:
        how = f"fold {split.fold + 1} of {split.folds} validates"
    elif split.by == "column":
        how = f"the column `{split.column}` says which rows validate and test"
    elif split.by == "time":
        how = f"by time (`{split.column}`): what validates comes after what trains, the test last"
    elif split.by == "group":
        how = f"by `{split.column}`: no group is in two parts"
    else:
        how = "at random" + (", with the same share of classes in each part" if _is_stratified(split, bundle) else "")
    return f"Split {how} ({seed}); a part of its own that the source has stays as it is."


def _is_stratified(split: Split, bundle: Bundle) -> bool:
    return split.stratify and bundle.data.task == "classification"


def _preprocessing(bundle: Bundle) -> Iterator[str]:
    encoder: dict[str, Any] = bundle.preprocess["encoder"]
    scaling = bundle.preprocess.get("scaling")
    if encoder["kind"] == "table":
        kinds = [str(column["kind"]) for column in encoder["columns"]]
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        n_features = bundle.data.input_shape[0]
        yield f"columns ({counts}) become {n_features} numbers; missing values take the median or a mark."
    if encoder["kind"] == "text":
        yield (
            f"texts become tokens of a vocabulary of {bundle.data.n_tokens}; those after the first {encoder['length']}"
            " are left out."
        )
    if scaling is not None:
        yield "values are shifted and scaled by channel, with the means and deviations in bundle.json."


# ---------------------------------------------------------------------------------------------------------- training


def training(bundle: Bundle) -> list[str]:
    """The set-up in words; all of it is in bundle.json."""
    config, train = bundle.config, bundle.config.train
    assert isinstance(train, StandardTrain)
    schedule = "" if config.schedule.kind == "constant" else f", schedule `{config.schedule.kind}`"
    batch = f"batches of {config.data.batch_size}"
    stopping = "with early stopping" if train.early_stopping is not None else "without early stopping"
    augment = config.data.augment.kind
    changed = "" if augment == "none" else f"; training images augmented (`{augment}`)"
    averaged = "" if train.averaging.kind == "none" else f"; averaged weights (`{train.averaging.kind}`)"
    words = (
        f"Loss `{config.loss.kind}`, optimizer `{config.optimizer.kind}`{schedule}, {batch}, at most {train.epochs}"
        f" epochs {stopping}, of which epoch {bundle.epoch} is the best{changed}{averaged}. Seed {bundle.seed}, device"
        f" `{train.device}`, precision `{train.precision}`. The whole configuration is in `bundle.json`."
    )
    return [words]


# ------------------------------------------------------------------------------------------------------------ limits


def limits(bundle: Bundle) -> list[str]:
    """What is known of its weak sides from the numbers alone."""
    return [f"- {line}" for line in (*_limits(bundle), TO_FILL_IN.format(what="known failures, biases, side effects."))]


def _limits(bundle: Bundle) -> Iterator[str]:
    data = bundle.data
    yield "The numbers above hold for data like this; on other sources, times or devices they can be far worse."
    scored = data.n_test or data.n_val
    if scored < FEW_ROWS:
        part = "test" if data.n_test else "validation"
        yield f"Only {scored} rows of the {part} part stand behind them: the last digits are chance."
    counts = data.class_counts
    if data.task == "classification" and counts and max(counts) >= RARE * max(1, min(counts)):
        rare = data.labels[counts.index(min(counts))] if data.labels else str(counts.index(min(counts)))
        yield f"Classes are unequal: `{rare}` has {min(counts)} training rows, the most frequent {max(counts)}."
    if data.task in ("classification", "multilabel"):
        yield "Probabilities were not calibrated after training; inputs that belong to no class get one all the same."
    yield from _limits_of_inputs(bundle)


def _limits_of_inputs(bundle: Bundle) -> Iterator[str]:
    encoder: dict[str, Any] = bundle.preprocess["encoder"]
    kind = encoder["kind"]
    if kind == "table" and any(column["kind"] == "categorical" for column in encoder["columns"]):
        yield "Categories that training did not see count as rare ones, or as none."
    if kind == "text":
        yield f"Of a text the first {encoder['length']} tokens are read; words that training did not see are unknown."
    if kind == "image" and encoder.get("fit"):
        yield "Images of other sizes are resized, and details that are smaller than a pixel then are lost."
    if kind == "window":
        yield "It knows the past of its training; what changes a series from outside it cannot foresee."
