"""From `space:` to parameters, and from params to the config of a trial."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner.config.schema import AdamW, Convnet, EarlyStopping, Mlp, PythonModel, Sgd
from tuner.config.spec import Spec, load
from tuner.errors import ConfigError, Place
from tuner.space.parameters import AnyOf, Choices, FloatRange, IntRange, MoreThan, Parameter, Scalar, Space

DIGITS = {"kind": "digits"}


def spec_of(**document: Any) -> Spec:
    """A checked spec of plain data, as if it had been read from a file."""
    return Spec.from_json({"file": "x.yaml", "base_dir": "/", "document": {"data": DIGITS, **document}})


def draw_params(draw: st.DataObject, space: Space) -> dict[str, Scalar]:
    """What a sampler does: in order, a value for every active parameter."""
    params: dict[str, Scalar] = {}
    for parameter in space.parameters:
        if parameter.is_active(params):
            params[parameter.name] = draw.draw(values_of(parameter), label=parameter.name)
    return params


def values_of(parameter: Parameter) -> st.SearchStrategy[Any]:
    domain = parameter.domain
    if isinstance(domain, Choices):
        return st.sampled_from(domain.labels)
    if domain.step is not None:
        n_steps = round((domain.high - domain.low) / domain.step)
        return st.integers(0, n_steps).map(lambda step: domain.low + step * domain.step)  # type: ignore[operator]
    return st.floats(domain.low, domain.high)


# ------------------------------------------------------------------------------------------------------------- domains


def test_a_list_is_categorical_and_so_are_choices() -> None:
    space = spec_of(space={"data.batch_size": [32, 64], "optimizer.lr": {"choices": [0.1, 0.2]}}).space
    assert space["data.batch_size"].domain == Choices(values=(32, 64))
    assert space["optimizer.lr"].domain == Choices(values=(0.1, 0.2))


def test_int_or_float_follows_from_the_field() -> None:
    space = spec_of(
        space={
            "model.depth": {"low": 1, "high": 5, "step": 2},
            "optimizer.lr": {"low": 1, "high": 2, "log": True},
            "model.dropout": {"low": 0, "high": 0.6, "step": 0.05},
            "train.grad_clip": {"low": 1, "high": 2},
            "optimizer.betas.0": {"low": 0, "high": 0.9},
        }
    ).space
    assert space["model.depth"].domain == IntRange(low=1, high=5, step=2)
    assert space["optimizer.lr"].domain == FloatRange(low=1.0, high=2.0, log=True)
    assert space["model.dropout"].domain == FloatRange(low=0.0, high=0.6, step=0.05)
    assert space["train.grad_clip"].domain == FloatRange(low=1.0, high=2.0)
    assert space["optimizer.betas.0"].domain == FloatRange(low=0.0, high=0.9)
    assert all(isinstance(space[name].domain.low, float) for name in ("optimizer.lr", "train.grad_clip"))  # type: ignore[union-attr]


def test_int_or_float_of_free_options_follows_from_the_bounds_or_the_type() -> None:
    options = {
        "model.options.a": {"low": 1, "high": 3},
        "model.options.b": {"low": 1, "high": 3.5},
        "model.options.c": {"low": 1, "high": 3, "type": "float"},
    }
    space = spec_of(model={"kind": "python", "target": "n.py:N"}, space=options).space
    assert space["model.options.a"].domain == IntRange(low=1, high=3)
    assert space["model.options.b"].domain == FloatRange(low=1.0, high=3.5)
    assert space["model.options.c"].domain == FloatRange(low=1.0, high=3.0)


def test_parents_come_before_their_children_and_else_the_order_of_the_file_is_kept() -> None:
    space = spec_of(
        space={
            "train.epochs": [1, 2],
            "optimizer.momentum": {"choices": [0.1, 0.9], "when": {"optimizer.kind": "sgd"}},
            "model.width": {"low": 8, "high": 16, "each": "model.depth"},
            "optimizer.lr": [0.1, 0.2],
            "model.depth": {"low": 1, "high": 2},
            "optimizer.kind": ["adam", "sgd"],
        }
    ).space
    assert [parameter.name for parameter in space.parameters] == [
        "train.epochs",
        "optimizer.kind",
        "optimizer.momentum",
        "model.depth",
        "model.width.0",
        "model.width.1",
        "optimizer.lr",
    ]


# ---------------------------------------------------------------------------------------------------------- conditions


def test_all_keys_of_when_must_hold_and_a_list_is_any_of() -> None:
    when = {"optimizer.kind": ["sgd", "rmsprop"], "model.depth": 2}
    space = spec_of(
        space={
            "optimizer.kind": ["sgd", "rmsprop", "adam"],
            "model.depth": {"low": 1, "high": 3},
            "optimizer.momentum": {"low": 0, "high": 0.9, "when": when},
        }
    ).space
    momentum = space["optimizer.momentum"]
    assert momentum.conditions == (
        AnyOf(parent="optimizer.kind", labels=("sgd", "rmsprop")),
        AnyOf(parent="model.depth", labels=(2,)),
    )
    assert momentum.is_active({"optimizer.kind": "sgd", "model.depth": 2})
    assert not momentum.is_active({"optimizer.kind": "sgd", "model.depth": 1})
    assert not momentum.is_active({"optimizer.kind": "adam", "model.depth": 2})


def test_a_path_must_only_exist_for_the_kinds_that_its_parents_of_any_depth_leave() -> None:
    space = spec_of(
        space={
            "optimizer.kind": ["adamw", "sgd"],
            "optimizer.momentum": {"choices": [0.5, 0.9], "when": {"optimizer.kind": "sgd"}},
            "optimizer.nesterov": {"choices": [True, False], "when": {"optimizer.momentum": 0.9}},
        }
    ).space
    assert space["optimizer.nesterov"].conditions == (AnyOf(parent="optimizer.momentum", labels=(0.9,)),)


def test_a_condition_on_a_constant_that_holds_is_dropped() -> None:
    space = spec_of(
        optimizer={"kind": "sgd"},
        space={"optimizer.momentum": {"low": 0, "high": 0.9, "when": {"optimizer.kind": "sgd", "model.depth": [1, 2]}}},
    ).space
    assert space["optimizer.momentum"].conditions == ()


def test_a_stepped_parent_can_be_named_by_a_value_on_its_grid() -> None:
    space = spec_of(
        space={
            "model.dropout": {"low": 0, "high": 0.6, "step": 0.1},
            "model.norm": {"choices": ["none", "batch"], "when": {"model.dropout": 0.3}},
        }
    ).space
    # the number that Optuna samples is 3 * 0.1, which is not 0.3
    assert space["model.norm"].conditions == (AnyOf(parent="model.dropout", labels=(3 * 0.1,)),)


def test_each_makes_one_parameter_a_layer_that_depends_on_the_count_only_above_its_low() -> None:
    space = spec_of(
        space={
            "model.depth": {"low": 2, "high": 4},
            "model.width": {"low": 8, "high": 16, "each": "model.depth"},
        }
    ).space
    domain = IntRange(low=8, high=16)
    assert space.parameters[1:] == (
        Parameter(name="model.width.0", domain=domain),
        Parameter(name="model.width.1", domain=domain),
        Parameter(name="model.width.2", domain=domain, conditions=(MoreThan(parent="model.depth", bound=2),)),
        Parameter(name="model.width.3", domain=domain, conditions=(MoreThan(parent="model.depth", bound=3),)),
    )


def test_each_of_a_constant_count_is_a_plain_list_of_parameters() -> None:
    spec = spec_of(model={"depth": 2}, space={"model.width": {"low": 8, "high": 16, "each": "model.depth"}})
    assert [parameter.conditions for parameter in spec.space.parameters] == [(), ()]
    assert spec.bind({"model.width.0": 8, "model.width.1": 9}).model == Mlp(depth=2, width=(8, 9))


def test_each_of_a_conditional_count_depends_on_the_count_from_the_first_layer_on() -> None:
    spec = spec_of(
        model={"kind": "python", "target": "n.py:N"},
        space={
            "model.kind": ["python", "mlp"],
            "model.depth": {"low": 1, "high": 2, "when": {"model.kind": "mlp"}},
            "model.width": {"low": 8, "high": 16, "each": "model.depth"},
        },
    )
    assert spec.space["model.width.0"].conditions == (MoreThan(parent="model.depth", bound=0),)
    assert spec.bind({"model.kind": "python"}).model == PythonModel(target="n.py:N")
    assert spec.bind({"model.kind": "mlp", "model.depth": 1, "model.width.0": 9}).model == Mlp(depth=1, width=(9,))


def test_when_of_an_each_holds_for_all_of_its_layers_and_else_the_base_value_is_used() -> None:
    spec = spec_of(
        space={
            "model.norm": ["none", "batch"],
            "model.dropout": {"choices": [0.1, 0.2], "each": "model.depth", "when": {"model.norm": "none"}},
        }
    )
    assert spec.bind({"model.norm": "batch"}).model == Mlp(norm="batch", dropout=0.0)
    params: dict[str, Scalar] = {"model.norm": "none", "model.dropout.0": 0.1, "model.dropout.1": 0.2}
    assert spec.bind(params).model == Mlp(dropout=(0.1, 0.2))


# ---------------------------------------------------------------------------------------------------------------- bind


def test_without_params_bind_gives_the_base_config() -> None:
    spec = spec_of(seed=7, optimizer={"lr": 0.5}, space={"optimizer.lr": [0.1, 0.2]})
    assert spec.bind({}) == spec.base
    assert spec.base.optimizer == AdamW(lr=0.5)
    assert spec.base.seed == 7


def test_another_kind_keeps_the_options_that_it_has_and_takes_its_own_defaults_for_the_rest() -> None:
    spec = spec_of(
        optimizer={"kind": "adamw", "lr": 0.5, "betas": [0.8, 0.9]}, space={"optimizer.kind": ["adamw", "sgd"]}
    )
    assert spec.bind({"optimizer.kind": "sgd"}).optimizer == Sgd(lr=0.5, weight_decay=0.0)
    assert spec.bind({"optimizer.kind": "adamw"}).optimizer == AdamW(lr=0.5, betas=(0.8, 0.9), weight_decay=0.01)


def test_labels_of_lists_and_mappings_become_the_values_that_they_stand_for() -> None:
    spec = spec_of(
        space={
            "optimizer.betas": [[0.9, 0.99], [0.8, 0.9]],
            "train.early_stopping": ["off", {"patience": 3}],
        }
    )
    labels = {name: spec.space[name].domain.labels for name in ("optimizer.betas", "train.early_stopping")}  # type: ignore[union-attr]
    assert labels == {
        "optimizer.betas": ("[0.9, 0.99]", "[0.8, 0.9]"),
        "train.early_stopping": ("off", '{"patience": 3}'),
    }
    config = spec.bind({"optimizer.betas": "[0.8, 0.9]", "train.early_stopping": '{"patience": 3}'})
    assert config.optimizer == AdamW(betas=(0.8, 0.9))
    assert config.train.early_stopping == EarlyStopping(patience=3)
    assert spec.bind({"train.early_stopping": "off"}).train.early_stopping is None


def test_an_index_replaces_one_item_of_a_list_given_or_default() -> None:
    spec = spec_of(model={"width": [8, 16]}, space={"optimizer.betas.1": [0.5, 0.6], "model.width.0": [32, 64]})
    config = spec.bind({"optimizer.betas.1": 0.5, "model.width.0": 64})
    assert config.optimizer == AdamW(betas=(0.9, 0.5))
    assert config.model == Mlp(width=(64, 16))


def test_options_of_python_targets_are_reached_at_any_depth() -> None:
    model = {"kind": "python", "target": "n.py:N", "options": {"hidden": 8, "block": {"kind": "a"}}}
    spec = spec_of(model=model, space={"model.options.block.size": [1, 2], "model.options.new": ["x", "y"]})
    bound = spec.bind({"model.options.block.size": 2, "model.options.new": "y"}).model
    assert bound == PythonModel(target="n.py:N", options={"hidden": 8, "block": {"kind": "a", "size": 2}, "new": "y"})
    assert spec.document["model"] == model  # binding leaves the base config alone


def test_a_combination_that_does_not_go_together_is_a_config_error() -> None:
    spec = spec_of(
        optimizer={"kind": "sgd", "momentum": 0.9},
        space={"optimizer.nesterov": [True, False], "optimizer.momentum": [0.0, 0.9]},
    )
    assert spec.bind({"optimizer.nesterov": True, "optimizer.momentum": 0.9}).optimizer == Sgd(
        nesterov=True, momentum=0.9
    )
    with pytest.raises(ConfigError, match=r"^optimizer\.nesterov: needs momentum above 0 and dampening 0$"):
        spec.bind({"optimizer.nesterov": True, "optimizer.momentum": 0.0})


def test_a_partner_that_varies_too_excuses_a_value_that_the_base_config_refuses() -> None:
    spec = spec_of(
        optimizer={"kind": "sgd"},
        space={"optimizer.nesterov": [True, False], "optimizer.momentum": {"low": 0.5, "high": 0.9}},
    )
    assert spec.bind({"optimizer.nesterov": True, "optimizer.momentum": 0.7}).optimizer == Sgd(
        nesterov=True, momentum=0.7
    )


@pytest.mark.parametrize(
    ("params", "message"),
    (
        ({"optimizer.lrr": 1}, "optimizer.lrr: the space has no such parameter"),
        ({"model.norm": "group"}, "model.norm: 'group' is not one of its choices ['none', 'batch']"),
        ({"model.depth": 2, "model.width.0": 8}, "model.width: expected values for 2 layers, got model.width.0"),
    ),
)
def test_params_of_another_space_are_refused(params: dict[str, Scalar], message: str) -> None:
    spec = spec_of(
        space={
            "model.norm": ["none", "batch"],
            "model.depth": {"low": 1, "high": 2},
            "model.width": {"low": 8, "high": 16, "each": "model.depth"},
        }
    )
    with pytest.raises(ConfigError) as caught:
        spec.bind(params)
    assert str(caught.value) == message


def test_a_searched_model_kind_carries_what_both_kinds_have() -> None:
    spec = spec_of(
        model={"depth": 1, "width": 8},
        space={
            "model.kind": ["mlp", "convnet"],
            "model.kernel": {"choices": [3, 5], "when": {"model.kind": "convnet"}},
        },
    )
    assert spec.bind({"model.kind": "convnet", "model.kernel": 5}).model == Convnet(depth=1, width=8, kernel=5)


# ---------------------------------------------------------------------------------------------------------- properties

RICH = {
    "optimizer.nesterov": {"choices": [True, False], "when": {"optimizer.momentum": [0.5, 0.9]}},
    "optimizer.kind": ["adamw", "sgd", "rmsprop"],
    "optimizer.momentum": {"choices": [0.0, 0.5, 0.9], "when": {"optimizer.kind": "sgd"}},
    "optimizer.alpha": {"low": 0.5, "high": 0.99, "when": {"optimizer.kind": "rmsprop", "model.depth": [1, 2]}},
    "optimizer.lr": {"low": 1e-4, "high": 0.1, "log": True},
    "model.kind": ["mlp", "convnet"],
    "model.width": {"low": 8, "high": 64, "log": True, "each": "model.depth", "when": {"model.kind": "mlp"}},
    "model.depth": {"low": 0, "high": 4},
    "model.dropout": {"low": 0, "high": 0.6, "step": 0.05, "each": "model.depth"},
    "model.kernel": {"low": 1, "high": 7, "step": 2, "when": {"model.kind": "convnet"}},
    "train.epochs": {"low": 5, "high": 30},
    "train.early_stopping": ["off", {"patience": 3}],
    "schedule.kind": {"choices": ["cosine", "step"], "when": {"train.epochs": [10, 20]}},
    "schedule.gamma": {"low": 0.1, "high": 0.5, "when": {"schedule.kind": "step"}},
}


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_every_assignment_that_a_sampler_can_make_binds_to_what_it_says(draw: st.DataObject) -> None:
    spec = spec_of(space=RICH)
    params = draw_params(draw, spec.space)
    config = spec.bind(params)
    assert config == spec.bind(dict(reversed(params.items())))
    assert config.optimizer.kind == params["optimizer.kind"]
    assert config.optimizer.lr == params["optimizer.lr"]
    assert config.train.epochs == params["train.epochs"]
    assert config.schedule.kind == params.get("schedule.kind", "constant")
    depth = params["model.depth"]
    assert isinstance(depth, int)
    assert isinstance(config.model, (Mlp, Convnet))
    assert config.model.dropout == tuple(params[f"model.dropout.{layer}"] for layer in range(depth))
    if params["model.kind"] == "mlp":
        assert config.model.width == tuple(params[f"model.width.{layer}"] for layer in range(depth))
    else:
        assert config.model.width == 32


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_parameter_is_active_exactly_when_its_when_holds(draw: st.DataObject) -> None:
    spec = spec_of(space=RICH)
    params = draw_params(draw, spec.space)
    for name, entry in RICH.items():
        when = entry.get("when", {}) if isinstance(entry, Mapping) else {}
        holds = all(
            parent in params and params[parent] in (values if isinstance(values, list) else [values])
            for parent, values in when.items()
        )
        if isinstance(entry, Mapping) and "each" in entry:
            layers = sum(parameter.startswith(f"{name}.") for parameter in params)
            assert layers == (params["model.depth"] if holds else 0)
        else:
            assert (name in params) == holds


@st.composite
def option_spaces(draw: st.DrawFn) -> dict[str, Any]:
    """Spaces of a python model's options, with conditions on each other in any order of the file."""
    names = [f"model.options.o{index}" for index in range(draw(st.integers(1, 6)))]
    entries: dict[str, Any] = {}
    for index, name in enumerate(names):
        choices = draw(st.lists(st.integers(0, 9), min_size=2, max_size=4, unique=True))
        entries[name] = {"choices": choices}
        parents = draw(st.lists(st.sampled_from(names[:index]), max_size=2, unique=True)) if index else []
        if parents:
            entries[name]["when"] = {
                parent: draw(st.lists(st.sampled_from(entries[parent]["choices"]), min_size=1, unique=True))
                for parent in parents
            }
    return {name: entries[name] for name in draw(st.permutations(names))}


@given(option_spaces(), st.data())
@settings(max_examples=100, deadline=None)
def test_conditions_of_any_shape_are_sampled_parents_first_or_refused_as_impossible(
    space: dict[str, Any], draw: st.DataObject
) -> None:
    impossible: tuple[Place, ...] = ()
    try:
        spec = spec_of(model={"kind": "python", "target": "n.py:N"}, space=space)
    except ConfigError as error:
        impossible = error.where
    if impossible:
        assert all("never holds" in place.message for place in impossible)
        return
    params = draw_params(draw, spec.space)
    for name, entry in space.items():
        holds = all(params.get(parent) in values for parent, values in entry.get("when", {}).items())
        assert (name in params) == holds
    model = spec.bind(params).model
    assert isinstance(model, PythonModel)
    assert model.options == {name.rpartition(".")[2]: value for name, value in params.items()}


@given(option_spaces())
@settings(max_examples=50, deadline=None)
def test_a_spec_survives_json(space: dict[str, Any]) -> None:
    try:
        spec = spec_of(model={"kind": "python", "target": "n.py:N"}, space=space)
    except ConfigError:
        return
    assert Spec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_the_space_of_a_file_is_that_of_its_data(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(json.dumps({"data": DIGITS, "space": RICH}))  # JSON is YAML
    assert load(tmp_path / "x.yaml").space == spec_of(space=RICH).space
