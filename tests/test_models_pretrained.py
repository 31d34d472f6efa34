"""Networks of other people: made for the data, begun with weights of a file, frozen in parts, searched and exported."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision import models

import tuner
from tuner.config.schema import AdamW
from tuner.config.schema.model_kinds.torchvision import VisionModel
from tuner.config.schema.models import MODEL_KINDS
from tuner.config.spec import load
from tuner.data.info import DataInfo
from tuner.errors import ChangedError, ConfigError, MissingError, UsageError
from tuner.execution.inline import InlineExecutor
from tuner.models.build import build_model
from tuner.models.pretrained import StillNorm
from tuner.optim.groups import groups_of
from tuner.workflows.best import best
from tuner.workflows.check import check
from tuner.workflows.search import SearchRequest, search

HUBCONF = """
import torch
from layers import Body

def net(width=4, classes=7):
    return torch.nn.Sequential(Body(width), torch.nn.Linear(width, classes))

def sized(n_outputs, width=4):
    return torch.nn.Sequential(Body(width), torch.nn.Linear(width, n_outputs, bias=False))

def anything(**options):
    return net(**options)

def text():
    return "no network"
"""
LAYERS = """
import torch

class Body(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, width, 3)
        self.norm = torch.nn.BatchNorm2d(width)
    def forward(self, x):
        return self.norm(self.conv(x)).relu().mean((2, 3))
"""


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nobody listens: there is no network
    torch.set_num_threads(1)
    return tmp_path


def info(shape: tuple[int, ...] = (3, 32, 32)) -> DataInfo:
    return DataInfo(
        kind="made",
        task="classification",
        input_shape=shape,
        n_targets=3,
        labels=("a", "b", "c"),
        n_train=8,
        n_val=2,
        n_test=2,
        fingerprint="",
        in_memory=True,
    )


def build(
    kind: str = "torchvision",
    shape: tuple[int, ...] = (3, 32, 32),
    *,
    n_outputs: int = 3,
    seed: int = 0,
    is_restored: bool = False,
    **options: Any,
) -> nn.Module:
    config = MODEL_KINDS[kind].model_validate({"kind": kind, **options})
    return build_model(
        config, info=info(shape), n_outputs=n_outputs, base_dir=Path.cwd(), seed=seed, is_restored=is_restored
    )


def refusal(**options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        build(**options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------------------------------------------------- torchvision


def test_the_names_are_those_of_torchvision() -> None:
    assert list(get_args(VisionModel)) == models.list_models(module=models)


FAMILIES = ("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "maxvit_t", "mnasnet0_5")
FAMILIES += ("mobilenet_v2", "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_1")
FAMILIES += ("swin_t", "vgg11", "vit_b_32", "wide_resnet50_2")


@pytest.mark.parametrize("name", FAMILIES)
def test_a_network_of_every_family_has_torchvisions_parameters(name: str) -> None:
    # Shapes alone, nothing is computed; regnet computes its own when it is built.
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        model = build(shape=(3, 224, 224), n_outputs=1000, name=name)
    expected = models.get_model_weights(name).DEFAULT.meta["num_params"]
    assert sum(param.numel() for param in model.parameters()) == expected


@pytest.mark.parametrize("name", ("inception_v3", "convnext_tiny", "squeezenet1_1", "vit_b_32", "vgg11"))
def test_stem_and_head_are_made_for_the_data(name: str) -> None:
    side = 75 if name == "inception_v3" else 64
    with torch.device("meta"):
        model = build(shape=(5, side, side), name=name)
        assert model(torch.zeros(2, 5, side, side)).shape == (2, 3)


def test_the_network_is_torchvisions_own() -> None:
    model = build(n_outputs=10)
    own = models.resnet18(num_classes=10)
    own.load_state_dict(model.state_dict())
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(model.eval()(x), own.eval()(x))
    assert torch.equal(model.get_parameter("fc.weight"), build(n_outputs=10).get_parameter("fc.weight"))


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    (
        ((5,), {}, "model.kind: torchvision needs images (C, H, W), got inputs of shape (5,); use kind: mlp"),
        ((3, 8, 8), {"name": "squeezenet1_1"}, "model.name: squeezenet1_1 takes no images of 8 by 8 (Given input size"),
        ((3, 8, 8), {"name": "squeezenet1_1"}, "); set data.resize: 17"),
        (
            (3, 28, 28),
            {"name": "vit_b_16"},
            "vit_b_16 takes square images whose side is a multiple of 16, got 28 by 28",
        ),
        ((3, 30, 30), {"name": "maxvit_t"}, "model.name: maxvit_t takes no images of 30 by 30 ("),
        ((3, 32, 32), {"options": {"hidden": 3}}, "model.options: resnet18 does not take them: "),
    ),
)
def test_what_a_network_of_torchvision_cannot_take_is_refused(
    shape: tuple[int, ...], options: dict[str, Any], message: str
) -> None:
    assert message in refusal(shape=shape, **options)


def test_weights_that_cannot_be_downloaded_are_asked_for_as_a_file() -> None:
    with pytest.raises(MissingError) as caught:
        build(weights="default")
    assert re.fullmatch(
        r"model\.weights: https://\S+resnet18-\w+\.pth cannot be downloaded \(.+\); give the file that you have of it",
        str(caught.value),
    )


# -------------------------------------------------------------------------------------------------------------- weights


@pytest.fixture(scope="module")
def trained() -> dict[str, Tensor]:
    """A state_dict of resnet18 with 10 classes, other than what torch begins with."""
    torch.manual_seed(1)
    model = models.resnet18(num_classes=10)
    model.train()(torch.randn(4, 3, 32, 32))
    return model.state_dict()


def test_weights_of_a_file_are_taken_but_for_a_head_of_other_classes(trained: dict[str, Tensor]) -> None:
    torch.save(trained, "w.pth")
    model = build(weights="w.pth")
    fresh = build()
    for name, value in model.state_dict().items():
        expected = fresh.state_dict()[name] if name.startswith("fc.") else trained[name]
        assert torch.equal(value, expected), name
    same = build(n_outputs=10, weights="w.pth").state_dict()
    assert all(torch.equal(same[name], value) for name, value in trained.items())


@pytest.mark.parametrize("wrapper", ("state_dict", "model"))
def test_wrapped_weights_are_found(trained: dict[str, Tensor], wrapper: str) -> None:
    torch.save({wrapper: {f"module.{name}": value for name, value in trained.items()}, "epoch": 3}, "w.pth")
    assert torch.equal(build(weights="w.pth").state_dict()["conv1.weight"], trained["conv1.weight"])


def test_a_grey_image_gives_what_it_gives_as_three_channels(trained: dict[str, Tensor]) -> None:
    torch.save(trained, "w.pth")
    grey, colour = build(shape=(1, 32, 32), weights="w.pth").eval(), build(weights="w.pth").eval()
    x = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(grey(x), colour(x.expand(2, 3, 32, 32)), rtol=1e-4, atol=1e-4)


def test_a_restored_network_needs_no_file() -> None:
    model = build(weights="absent.pth", freeze="backbone", is_restored=True)
    assert not model.get_parameter("conv1.weight").requires_grad


def test_weights_of_another_network_are_refused(trained: dict[str, Tensor]) -> None:
    torch.save(trained, "w.pth")
    other = refusal(name="resnet34", weights="w.pth")
    assert re.search(
        r"^model\.weights: w\.pth: is of another network: it has no layer1\.2\.conv1\.weight, .* more$", other
    )
    deep = {**trained, "layer5.weight": torch.zeros(2)}
    torch.save(deep, "deep.pth")
    assert refusal(weights="deep.pth") == "model.weights: deep.pth: is of another network: it has besides layer5.weight"
    wide = {**trained, "layer1.0.conv1.weight": torch.zeros(32, 64, 3, 3)}
    torch.save(wide, "wide.pth")
    assert refusal(weights="wide.pth") == (
        "model.weights: wide.pth: is of another network: layer1.0.conv1.weight is (32, 64, 3, 3) there and "
        "(64, 64, 3, 3) here"
    )


def test_what_is_no_file_of_weights_is_refused(workplace: Path) -> None:
    torch.save(models.resnet18(num_classes=2), "whole.pth")
    assert refusal(weights="whole.pth").startswith(
        "model.weights: whole.pth: holds more than tensors; save the state_dict"
    )
    (workplace / "text.pth").write_text("hello")
    assert refusal(weights="text.pth").startswith("model.weights: text.pth: ")
    torch.save([1, 2], "list.pth")
    assert refusal(weights="list.pth").endswith("expected a state_dict, names and tensors; got list")
    assert "absent.pth: no such file; looked in" in refusal(weights="absent.pth")


def test_positions_of_images_of_another_size_are_explained() -> None:
    torch.save(models.vit_b_32(image_size=64, num_classes=2).state_dict(), "vit.pth")
    assert refusal(name="vit_b_32", weights="vit.pth") == (
        "model.weights: vit.pth: is of another network: encoder.pos_embedding is (1, 5, 768) there and (1, 2, 768) "
        "here; it is for images of another size: set data.resize to that"
    )


# --------------------------------------------------------------------------------------------------------------- freeze


def test_gradients_reach_what_is_trained_and_nothing_that_is_frozen(trained: dict[str, Tensor]) -> None:
    torch.save(trained, "w.pth")
    counts = {}
    for freeze in ("none", "half", "backbone"):
        model = build(weights="w.pth", freeze=freeze)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        model.train()(torch.randn(4, 3, 32, 32)).sum().backward()
        reached = {name for name, param in model.named_parameters() if param.grad is not None}
        assert reached == {name for name, param in model.named_parameters() if param.requires_grad}
        moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
        norms = {name.rpartition(".")[0] for name in moved}
        assert all(any(part in norm for norm in norms) for part in ("layer4",)) is (freeze != "backbone")
        assert any(norm == "bn1" for norm in norms) is (freeze == "none")
        counts[freeze] = len(reached)
    assert counts == {"none": 62, "half": 32, "backbone": 2}


def test_a_frozen_network_keeps_the_names_of_its_weights(trained: dict[str, Tensor]) -> None:
    torch.save(trained, "w.pth")
    frozen = build(weights="w.pth", freeze="backbone")
    assert list(frozen.state_dict()) == list(trained)
    still = [module for module in frozen.modules() if isinstance(module, StillNorm)]
    assert len(still) == 20
    assert not any(module.training for module in frozen.train().modules() if isinstance(module, StillNorm))


def test_freezing_random_weights_is_refused_where_it_stands(workplace: Path) -> None:
    (workplace / "s.yaml").write_text("data: {kind: fake}\nmodel: {kind: torchvision, freeze: half}\n")
    with pytest.raises(ConfigError) as caught:
        load(Path("s.yaml"))
    assert str(caught.value) == (
        "s.yaml:2:36: model.freeze: half would keep random weights; give weights, or freeze: none"
    )


def test_a_file_that_is_not_there_is_refused_before_anything_runs(workplace: Path) -> None:
    (workplace / "s.yaml").write_text("data: {kind: fake}\nmodel: {kind: torchvision, weights: absent.pth}\n")
    with pytest.raises(ConfigError, match=r"absent\.pth: no such file; looked in"):
        check("s.yaml")


def test_the_backbone_has_a_learning_rate_of_its_own() -> None:
    config = MODEL_KINDS["torchvision"].model_validate({"kind": "torchvision", "backbone_lr": 0.1})
    assert config.lr_scales() == {"": 0.1, "fc": 1.0, "classifier": 1.0, "heads": 1.0, "head": 1.0}
    assert MODEL_KINDS["torchvision"]().lr_scales() == {}
    model = build(backbone_lr=0.1)
    groups = groups_of(model, AdamW(), config.lr_scales())
    assert {group.lr_scale: len(group.params) for group in groups} == {0.1: 60, 1.0: 2}
    head = next(group for group in groups if group.lr_scale == 1.0)
    assert {id(param) for param in head.params} == {id(param) for param in model.get_submodule("fc").parameters()}


# ------------------------------------------------------------------------------------------------------------------ hub


@pytest.fixture
def repository(workplace: Path) -> Path:
    folder = workplace / "nets"
    folder.mkdir()
    (folder / "hubconf.py").write_text(HUBCONF)
    (folder / "layers.py").write_text(LAYERS)
    return folder


@pytest.mark.parametrize("entry", ("net", "sized", "anything"))
def test_an_entry_gets_its_options_and_the_head_that_the_data_needs(repository: Path, entry: str) -> None:
    model = build("hub", (1, 9, 9), repo="nets", entry=entry, options={"width": 6})
    assert model(torch.randn(2, 1, 9, 9)).shape == (2, 3)
    assert tuple(model.state_dict()["1.weight"].shape) == (3, 6)
    assert tuple(model.state_dict()["0.conv.weight"].shape) == (6, 1, 3, 3)


def test_a_hub_network_begins_with_a_file_and_is_frozen(repository: Path) -> None:
    donor = build("hub", repo="nets", entry="net", n_outputs=7, seed=5)
    torch.save(donor.state_dict(), "w.pth")
    model = build("hub", repo="nets", entry="net", weights="w.pth", freeze="backbone", head="1", backbone_lr=0.5)
    assert torch.equal(model.state_dict()["0.conv.weight"], donor.state_dict()["0.conv.weight"])
    assert [name for name, param in model.named_parameters() if param.requires_grad] == ["1.weight", "1.bias"]


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"entry": "other"}, "hubconf.py has no 'other'"),
        ({"entry": "text"}, "model.entry: text must return a torch.nn.Module, got str"),
        ({"entry": "net", "options": {"depth": 3}}, "model.options: 'net' cannot be called: got an unexpected keyword"),
        ({"entry": "net", "head": "9"}, "model.head: the network has no 9; its last layer is 1"),
        ({"entry": "net", "head": "0.norm"}, "model.head: 0.norm is a BatchNorm2d; expected a linear layer"),
        ({"entry": "net", "backbone_lr": 0.1}, "model.backbone_lr: which part is the head? give model.head: 1"),
        ({"entry": "net", "repo": "torch"}, "torch: no such file"),
        ({"entry": "net", "repo": "."}, "model.repo: .: no hubconf.py there"),
    ),
)
def test_what_a_repository_does_not_offer_is_refused(repository: Path, options: dict[str, Any], message: str) -> None:
    assert message in refusal(kind="hub", **{"repo": "nets", **options})


def test_a_repository_that_cannot_be_downloaded_is_asked_for_as_a_folder() -> None:
    with pytest.raises(MissingError, match=r"^model\.repo: owner/name:main cannot be downloaded \(.+\); clone it, and"):
        build("hub", repo="owner/name:main", entry="net", source="github")


# ----------------------------------------------------------------------------------------------------------- end to end


def searched(name: str, text: str) -> None:
    """Run a search whose trials all complete."""
    Path(f"{name}.yaml").write_text(text)
    counts = search(SearchRequest(space=f"{name}.yaml"), None, InlineExecutor()).status.counts
    assert counts["complete"] == sum(counts.values())


FAKE = "data: {{kind: fake, size: 60, image_size: [3, 16, 16], num_classes: 6, classes: {classes}, batch_size: 32}}"
SETTINGS = (
    "optimizer: {kind: sgd}\ntrain: {epochs: 1}\nsearch: {sampler: grid, pruner: none, workers: 1}\nconfirm: off\n"
)


@pytest.mark.slow
def test_a_network_trained_on_some_classes_is_where_others_begin_with_freeze_searched(workplace: Path) -> None:
    first = FAKE.format(classes="[0, 1, 2]") + "\nmodel: {kind: torchvision}\n" + SETTINGS
    searched(
        "first", first.replace("sampler: grid", "sampler: random, trials: 1") + "space: {optimizer.lr: [1e-3, 3e-3]}\n"
    )
    exported = best(study="first").path
    weights = (exported / "model.pt").relative_to(workplace) if exported.is_absolute() else exported / "model.pt"
    second = FAKE.format(classes="[3, 4]") + f"\nmodel: {{kind: torchvision, weights: {weights}}}\n" + SETTINGS
    searched("second", second + "space: {model.freeze: [none, half, backbone]}\n")
    frozen = tuner.best("second", trial=2)
    config = json.loads((frozen / "bundle.json").read_text())["config"]["model"]
    assert config["freeze"] == "backbone"
    shutil.rmtree(exported)  # an export needs no file that it began with
    given = torch.load(frozen / "model.pt", weights_only=True)
    model = tuner.load(frozen)
    assert model.labels == (3, 4)
    assert set(model.predict(np.zeros((2, 16, 16, 3), dtype=np.uint8))) <= {3, 4}
    assert tuple(given["fc.weight"].shape) == (2, 512)


@pytest.mark.slow
def test_a_hub_network_is_searched_exported_and_predicts_without_its_repository(repository: Path) -> None:
    text = FAKE.format(classes="[]") + "\nmodel: {kind: hub, repo: nets, entry: net}\n" + SETTINGS
    searched("hub", text + "space: {model.options.width: [3, 5]}\n")
    exported = best(study="hub").path
    (repository / "layers.py").write_text(LAYERS + "# edited\n")
    with pytest.raises(ChangedError, match=r"^the content of nets changed since study 'hub' was started"):
        search(SearchRequest(space="hub.yaml"), None, InlineExecutor())
    shutil.rmtree(repository)
    with pytest.raises(UsageError, match=r"needs code to be run \(model\)"):
        tuner.load(exported)
    model = tuner.load(exported, allow_code=True)
    assert model.predict_proba(np.zeros((2, 16, 16, 3), dtype=np.uint8)).shape == (2, 6)
