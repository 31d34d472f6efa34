from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tuner.config.schema import PythonModel
from tuner.data.info import DataInfo
from tuner.errors import ConfigError
from tuner.models.build import build_model

MODELS = """
import torch
from torch import nn

torch.manual_seed(0)  # people do that at the top of their files

class Net(nn.Module):
    def __init__(self, hidden, input_shape, n_outputs, scale=1.0):
        super().__init__()
        self.args = dict(hidden=hidden, input_shape=input_shape, n_outputs=n_outputs, scale=scale)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(input_shape[0], hidden), nn.Linear(hidden, n_outputs))
    def forward(self, x):
        return self.body(x)

class Recorder(nn.Module):
    def __init__(self, **received):
        super().__init__()
        self.received = received

def classes(n_classes):
    return nn.Linear(4, n_classes)

def takes_nothing():
    return nn.Linear(4, 3)

def everything(**keywords):
    return Recorder(**keywords)

def lazy(n_outputs):
    return nn.Sequential(nn.LazyLinear(5), nn.LazyBatchNorm1d(), nn.Linear(5, n_outputs))

def no_module():
    return "a string"

def raises():
    raise ZeroDivisionError("mine")

built = nn.Linear(4, 3)
number = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MODELS)
    return tmp_path


def info(task: Any = "classification", n_targets: int = 3) -> DataInfo:
    return DataInfo(
        kind="made",
        task=task,
        input_shape=(4,),
        n_targets=n_targets,
        labels=("a", "b", "c")[:n_targets] if task == "classification" else (),
        n_train=80,
        n_val=10,
        n_test=10,
        fingerprint="0" * 64,
        in_memory=True,
    )


def build(
    folder: Path, name: str, options: dict[str, Any] | None = None, *, data: DataInfo | None = None, seed: int = 0
) -> Any:
    config = PythonModel(target=f"mine.py:{name}", options=options or {})
    return build_model(config, info=data or info(), n_outputs=3, base_dir=folder, seed=seed)


def test_a_class_gets_its_options_and_the_shapes_that_it_names(folder: Path) -> None:
    model = build(folder, "Net", {"hidden": 7})
    assert model.args == {"hidden": 7, "input_shape": (4,), "n_outputs": 3, "scale": 1.0}
    assert model(torch.zeros(2, 4)).shape == (2, 3)


def test_an_option_wins_over_what_is_offered(folder: Path) -> None:
    assert build(folder, "Net", {"hidden": 7, "n_outputs": 5}).args["n_outputs"] == 5


def test_a_function_that_names_n_classes_gets_it(folder: Path) -> None:
    assert build(folder, "classes").out_features == 3


def test_a_function_without_arguments_is_called_without(folder: Path) -> None:
    assert isinstance(build(folder, "takes_nothing"), nn.Linear)


def test_a_function_that_takes_all_keywords_gets_them_all(folder: Path) -> None:
    received = build(folder, "everything", {"depth": 2}).received
    assert received == {"depth": 2, "input_shape": (4,), "n_outputs": 3, "n_classes": 3}


def test_a_model_of_tokens_is_told_the_vocabulary(folder: Path) -> None:
    tokens = replace(info(), input_dtype="int64", n_tokens=11, padding=0)
    received = build(folder, "everything", data=tokens).received
    assert (received["n_tokens"], received["padding"]) == (11, 0)


def test_regression_has_no_n_classes(folder: Path) -> None:
    received = build(folder, "everything", data=info("regression", 1)).received
    assert received == {"input_shape": (4,), "n_outputs": 3}


def test_a_missing_argument_is_told_with_the_signature(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        build(folder, "Net")
    assert str(caught.value) == (
        "model.options: 'mine.py:Net' cannot be called: missing a required argument: 'hidden'; its signature is "
        "(hidden, input_shape, n_outputs, scale=1.0). Give under model.options what it needs, besides input_shape, "
        "n_outputs, n_classes"
    )


def test_an_option_that_the_target_does_not_take_is_told(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"unexpected keyword argument 'widht'; its signature is \(hidden, "):
        build(folder, "Net", {"hidden": 7, "widht": 3})


def test_a_required_n_classes_in_regression_is_told(folder: Path) -> None:
    with pytest.raises(ConfigError, match="missing a required argument: 'n_classes'"):
        build(folder, "classes", data=info("regression", 1))


@pytest.mark.parametrize(
    ("name", "message"),
    (
        ("no_module", "model.target: 'mine.py:no_module' must return a torch.nn.Module, got str"),
        (
            "built",
            (
                "model.target: 'mine.py:built' is a Module that is built already; all trials would share its weights: "
                "name its class"
            ),
        ),
        (
            "number",
            "model.target: 'mine.py:number' must be a Module class or a function that returns a Module, got int",
        ),
        ("Nut", "'mine.py:Nut': mine.py has no 'Nut'"),
    ),
)
def test_a_target_that_is_no_model_is_refused(folder: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(folder, name)
    assert str(caught.value) == message


def test_errors_of_the_users_own_code_are_passed_on(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError, match="mine"):
        build(folder, "raises")


def test_weights_follow_from_the_seed_also_when_the_file_seeds_torch_itself(folder: Path) -> None:
    torch.manual_seed(7)
    state = torch.get_rng_state()
    first = build(folder, "takes_nothing", seed=1)  # imports the file
    assert torch.equal(torch.get_rng_state(), state)
    again, other = build(folder, "takes_nothing", seed=1), build(folder, "takes_nothing", seed=2)
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, other.weight)


def test_a_target_written_in_c_gets_the_options_alone() -> None:
    config = PythonModel(target="builtins:dict", options={"hidden": 1})
    with pytest.raises(ConfigError, match=r"'builtins:dict' must return a torch\.nn\.Module, got dict"):
        build_model(config, info=info(), n_outputs=3, base_dir=Path.cwd(), seed=0)


def test_lazy_layers_get_their_shapes_and_the_seeds_values(folder: Path) -> None:
    first, again = build(folder, "lazy", seed=1), build(folder, "lazy", seed=1)
    assert first[0].weight.shape == (5, 4)
    assert first.training
    assert torch.equal(first[0].weight, again[0].weight)
    assert first[1].num_batches_tracked == 0
