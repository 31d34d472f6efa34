"""`tuner schema`: what an editor accepts and refuses, judged by the jsonschema package."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tuner.config.files import shipped_folder
from tuner.config.jsonschema import json_schema
from tuner.config.schema import SECTION_KINDS
from tuner.space.document import read

SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)

EXAMPLE: dict[str, Any] = {
    "version": 1,
    "study": "fashion-mlp",
    "seed": 7,
    "objective": {"metric": "accuracy"},
    "data": {"kind": "fashion_mnist", "batch_size": 128, "split": {"val": 0.1, "test": 0.1, "stratify": True}},
    "model": {"kind": "mlp", "depth": 2, "width": 128, "dropout": 0.1, "activation": "relu", "norm": "none"},
    "loss": {"kind": "auto", "label_smoothing": 0.0},
    "optimizer": {"kind": "adamw", "lr": 1e-3, "weight_decay": 0.01},
    "schedule": {"kind": "constant"},
    "train": {"epochs": 20, "batches_per_epoch": None, "early_stopping": {"patience": 5}, "grad_clip": None},
    "space": {
        "optimizer.kind": ["adamw", "sgd", "rmsprop"],
        "optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True},
        "optimizer.momentum": {"low": 0.5, "high": 0.99, "when": {"optimizer.kind": "sgd"}},
        "optimizer.betas.0": {"low": 0.5, "high": 0.99},
        "data.batch_size": {"choices": [32, 64]},
        "model.depth": {"low": 1, "high": 3},
        "model.width": {"low": 16, "high": 512, "log": True, "each": "model.depth"},
        "model.options.hidden": {"low": 1, "high": 2, "type": "float"},
        "train.early_stopping.patience": {"low": 1, "high": 9},
    },
    "search": {"sampler": "auto", "pruner": {"kind": "median"}, "trials": 60, "timeout": "30m", "workers": "auto"},
    "confirm": {"top": 3, "seeds": 2},
}


def changed(path: str, value: object) -> dict[str, Any]:
    """The example with one value replaced; `/` between the keys, since those of `space` have dots."""
    document = copy.deepcopy(EXAMPLE)
    *holders, last = path.split("/")
    holder = document
    for key in holders:
        holder = holder[key]
    holder[last] = value
    return document


def test_the_schema_is_a_draft_7_schema() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"


@pytest.mark.parametrize("path", sorted(shipped_folder().glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_files_are_valid(path: Path) -> None:
    assert list(VALIDATOR.iter_errors(read(path, path.name)[0].plain())) == []


def test_the_documented_example_is_valid() -> None:
    assert list(VALIDATOR.iter_errors(EXAMPLE)) == []


@pytest.mark.parametrize(
    ("path", "value"),
    (
        ("train/early_stopping", "off"),
        ("confirm", "off"),
        ("search/timeout", 90),
        ("search/timeout", "1h30m"),
        ("search/pruner", "none"),
        ("optimizer", {"lr": 0.1}),
        ("optimizer", None),
        ("model", {"width": [8, 16]}),
        ("model", {"kind": "python", "target": "n.py:N", "options": {"any": [1]}}),
        ("objective/metric", "val/loss"),
        ("space/loss.kind", ["auto", "mse"]),
        ("space/train.early_stopping", ["off", {"patience": 3}]),
        ("space", None),
        ("trackers", "off"),
        ("trackers", "tensorboard"),
        ("trackers", ["mine.py:Tracker"]),
        ("trackers", ["jsonl", {"kind": "mlflow", "uri": "sqlite:///m.db"}, {"kind": "python", "target": "t.py:T"}]),
    ),
)
def test_what_the_file_may_say_is_valid(path: str, value: object) -> None:
    assert list(VALIDATOR.iter_errors(changed(path, value))) == []


@pytest.mark.parametrize(
    ("path", "value"),
    (
        ("spaces", {}),
        ("version", 2),
        ("study", "a/b"),
        ("data", {"batch_size": 3}),
        ("data/batchsize", 3),
        ("data/kind", "digit"),
        ("model/kernel", 3),
        ("model/activation", "rellu"),
        ("optimizer/lr", 0),
        ("optimizer/betas", [0.9]),
        ("optimizer/betas", [0.9, 0.99, 0.999]),
        ("train/epochs", 1.5),
        ("train/early_stopping", "on"),
        ("search/timeout", "30x"),
        ("search/timeout", ""),
        ("search/sampler", "tpee"),
        ("search/pruner", {"kind": "median", "eta": 3}),
        ("objective/metric", "acuracy"),
        ("confirm", "on"),
        ("trackers", ["tensorbord"]),
        ("trackers", [{"kind": "mlflow", "url": "x"}]),
        ("trackers", [{"kind": "python"}]),
        ("space/optimizer.lrr", [1, 2]),
        ("space/data.kind", ["digits", "iris"]),
        ("space/train.device", ["cpu", "cuda"]),
        ("space/optimizer.lr", 3),
        ("space/optimizer.lr", [1]),
        ("space/optimizer.lr", {"low": 1}),
        ("space/optimizer.lr", {"low": 1, "high": 2, "lo": 1}),
        ("space/model.depth", {"low": 1, "high": 2.5}),
        ("space/model.activation", ["relu", "rellu"]),
        ("space/model.activation", {"low": 1, "high": 2}),
        ("space/optimizer.kind", ["sgd", "adan"]),
    ),
)
def test_what_the_file_may_not_say_is_invalid(path: str, value: object) -> None:
    assert list(VALIDATOR.iter_errors(changed(path, value)))


def test_every_kind_of_every_section_can_be_named() -> None:
    required = {
        "csv": {"path": "a.csv", "target": "y"},
        "audio": {"path": "sounds"},
        "sklearn": {"name": "moons"},
        "parquet": {"path": "a.parquet", "target": "y"},
        "npz": {"path": "a.npz"},
        "tensors": {"path": "a.pt"},
        "series": {"path": "a.csv", "target": "y"},
        "python": {"target": "n.py:N"},
        "text": {"path": "a.csv"},
        "characters": {"path": "a.txt"},
        "huggingface": {"path": "a.csv", "target": "y"},
        "image_folder": {"path": "photos"},
        "data torchvision": {"name": "Food101"},
        "hub": {"repo": "r", "entry": "e"},
    }
    for section, kinds in SECTION_KINDS.items():
        for kind in kinds:
            document = changed(section, {"kind": kind, **required.get(f"{section} {kind}", required.get(kind, {}))})
            document["objective"]["direction"] = "maximize"  # own training code must say
            assert list(VALIDATOR.iter_errors(document)) == []


def test_searchable_fields_are_described_by_their_docstrings() -> None:
    assert (
        SCHEMA["definitions"]["space"]["properties"]["data.batch_size"]["description"] == "Rows in one optimizer step."
    )
