"""Kinds of models: their sizes by hand, torch's own modules as oracles, what padding and the future may not change."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

import tuner
from tuner.config.schema.models import MODEL_KINDS, ModelSection
from tuner.config.spec import load
from tuner.data.info import DataInfo
from tuner.errors import ConfigError
from tuner.execution.inline import InlineExecutor
from tuner.models.build import build_model
from tuner.models.experts import Mixture, imbalance
from tuner.models.inputs import embedding_size
from tuner.models.layers import AlphaDropout, LockedDropout, share_kept
from tuner.models.transformer import sinusoids
from tuner.training.program import single_program
from tuner.training.tape import record, untouched
from tuner.workflows.best import best
from tuner.workflows.search import SearchRequest, search

HERE = Path(__file__).parent
N_OUTPUTS, N_TOKENS, PADDING = 3, 11, 0


def info(input_shape: tuple[int, ...], **options: Any) -> DataInfo:
    known = {
        "kind": "made",
        "task": "classification",
        "n_targets": N_OUTPUTS,
        "labels": ("a", "b", "c"),
        "n_train": 8,
        "n_val": 2,
        "n_test": 2,
        "fingerprint": "",
        "in_memory": True,
    }
    return DataInfo(input_shape=input_shape, **{**known, **options})


TABLE = info((5,))
CATEGORIES = info((5,), categories=(4, 2))
STEPS = info((7, 4))
CHANNELS = info((4, 7), layout="channels_first")
STEPS_FIRST = info((7, 4), layout="steps_first")
IMAGES = info((3, 8, 8))
TOKENS = info((7,), n_tokens=N_TOKENS, padding=PADDING, input_dtype="int64")
LANGUAGE = info((7,), n_tokens=N_TOKENS, input_dtype="int64", task="language", n_targets=N_TOKENS)


def section(kind: str, **options: Any) -> ModelSection:
    return MODEL_KINDS[kind].model_validate({"kind": kind, **options})


def build(kind: str, data: DataInfo, *, seed: int = 0, n_outputs: int = N_OUTPUTS, **options: Any) -> nn.Module:
    return build_model(section(kind, **options), info=data, n_outputs=n_outputs, base_dir=HERE, seed=seed)


def batch(data: DataInfo, n_rows: int = 4, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    if data.n_tokens is not None:
        return torch.randint(1, data.n_tokens, (n_rows, *data.input_shape), generator=generator)
    x = torch.randn((n_rows, *data.input_shape), generator=generator)
    for column, count in enumerate(reversed(data.categories), start=1):
        x[:, -column] = torch.randint(0, count, (n_rows,), generator=generator)
    return x


def n_params(model: nn.Module) -> int:
    return sum(param.numel() for param in model.parameters())


def linear(n_in: int, n_out: int) -> int:
    return n_in * n_out + n_out


SIZES: tuple[tuple[str, DataInfo, dict[str, Any], int], ...] = (
    ("linear", TABLE, {}, linear(5, 3)),
    ("linear", CATEGORIES, {"embedding": 2}, 4 * 2 + 2 * 2 + linear(3 + 4, 3)),
    ("mlp", CATEGORIES, {"depth": 1, "width": 8}, 4 * 3 + 2 * 2 + linear(3 + 5, 8) + linear(8, 3)),
    ("mlp", TABLE, {"depth": 2, "width": 8, "residual": True}, linear(5, 8) + 40 + linear(8, 8) + linear(8, 3)),
    ("mlp", TABLE, {"depth": 1, "width": 8, "norm": "group"}, linear(5, 8) + 16 + linear(8, 3)),
    ("moe", TABLE, {"depth": 1, "width": 8, "n_experts": 6}, linear(5, 6) + 6 * linear(5, 8) + linear(8, 3)),
    (
        "convnet",
        CHANNELS,
        {"depth": 2, "width": 6, "norm": "layer", "global_pool": "max", "head_width": 0},
        linear(4 * 3, 6) + 12 + linear(6 * 3, 6) + 12 + linear(6, 3),
    ),
    ("resnet", info((3, 32, 32)), {"depth": 3}, 269_722 - linear(64, 10) + linear(64, 3)),  # the paper's ResNet-20
    ("resnet", IMAGES, {"depth": 1, "width": 2, "shortcut": "conv"}, 58 + 80 + (232 + 16) + (896 + 48) + linear(8, 3)),
    ("bag", TOKENS, {"embedding": 4, "ngrams": 3, "buckets": 10}, 11 * 4 + 2 * 10 * 4 + linear(4, 3)),
    ("bag", TOKENS, {"embedding": 4, "depth": 2, "width": 6}, 11 * 4 + linear(4, 6) + linear(6, 6) + linear(6, 3)),
    ("recurrent", STEPS, {"cell": "rnn", "width": 6}, 6 * (4 + 6 + 2) + linear(6, 3)),
    ("recurrent", STEPS, {"cell": "gru", "width": 6}, 3 * 6 * (4 + 6 + 2) + linear(6, 3)),
    (
        "recurrent",
        TOKENS,
        {"width": [6, 5], "depth": 2, "bidirectional": True, "embedding": 4},
        11 * 4 + 2 * 4 * 6 * (4 + 6 + 2) + 2 * 4 * 5 * (12 + 5 + 2) + linear(10, 3),
    ),
    (
        "transformer",
        TOKENS,
        {"depth": 2, "width": 8, "heads": 2, "ff_width": 12, "pooling": "cls"},
        11 * 8
        + 8
        + 8 * 8
        + 2 * (32 + linear(8, 24) + linear(8, 8) + linear(8, 12) + linear(12, 8))
        + 16
        + linear(8, 3),
    ),
    (
        "transformer",
        IMAGES,
        {"depth": 1, "width": 8, "heads": 2, "positions": "sinusoidal", "patch": 2},
        linear(12, 8) + 32 + linear(8, 24) + linear(8, 8) + linear(8, 32) + linear(32, 8) + 16 + linear(8, 3),
    ),
)


@pytest.mark.parametrize(("kind", "data", "options", "size"), SIZES)
def test_a_network_has_as_many_parameters_as_counted_by_hand(
    kind: str, data: DataInfo, options: dict[str, Any], size: int
) -> None:
    assert n_params(build(kind, data, **options)) == size


NETWORKS: tuple[tuple[str, DataInfo, dict[str, Any]], ...] = (
    ("linear", CATEGORIES, {"dropout": 0.1}),
    ("mlp", CATEGORIES, {"residual": True, "dropout": 0.2, "dropout_form": "alpha", "norm": "group"}),
    ("moe", CATEGORIES, {"dropout": 0.1, "top_k": 1}),
    ("convnet", STEPS_FIRST, {"dropout": 0.1, "width": 4, "norm": "layer"}),
    ("convnet", IMAGES, {"dropout": 0.1, "width": 4, "dropout_form": "alpha", "global_pool": "mean", "pool": "none"}),
    ("resnet", IMAGES, {"depth": 1, "width": 4, "dropout": 0.2}),
    ("resnet", IMAGES, {"depth": 2, "width": 4, "shortcut": "conv", "norm": "group", "activation": "mish"}),
    ("bag", TOKENS, {"ngrams": 2, "token_dropout": 0.2, "embedding_dropout": 0.1, "depth": 1, "dropout": 0.1}),
    ("recurrent", CHANNELS, {"cell": "rnn", "activation": "relu", "pooling": "max"}),
    ("recurrent", TOKENS, {"cell": "gru", "bidirectional": True, "depth": 2, "dropout": 0.3, "dropout_form": "locked"}),
    ("recurrent", TOKENS, {"cell": "lstm", "bidirectional": True, "pooling": "mean", "norm": "layer"}),
    ("recurrent", LANGUAGE, {"cell": "lstm", "dropout": 0.1}),
    ("transformer", STEPS, {"width": 8, "dropout": 0.1, "positions": "sinusoidal", "pooling": "max"}),
    ("transformer", TOKENS, {"width": 8, "attention_dropout": 0.1, "pooling": "cls"}),
    ("transformer", TOKENS, {"width": 8, "positions": "none"}),
    ("transformer", IMAGES, {"width": 8, "pooling": "cls"}),
    ("transformer", LANGUAGE, {"width": 8, "attention_dropout": 0.2}),
    ("transformer", LANGUAGE, {"width": 8, "depth": 1}),
)
LABELS = [f"{kind} {'x'.join(map(str, data.input_shape))} {data.task}" for kind, data, _ in NETWORKS]
networks = pytest.mark.parametrize(("kind", "data", "options"), NETWORKS, ids=LABELS)


@networks
def test_every_network_gives_its_outputs_and_a_gradient_to_each_parameter(
    kind: str, data: DataInfo, options: dict[str, Any]
) -> None:
    model = build(kind, data, **options)
    output = model(batch(data))
    assert output.shape == ((4, 7, N_OUTPUTS) if data is LANGUAGE else (4, N_OUTPUTS))
    output.square().mean().backward()
    for name, param in model.named_parameters():
        assert param.grad is not None, name
        assert param.grad.isfinite().all(), name


@networks
def test_a_network_is_rebuilt_from_json_and_its_state_dict(
    kind: str, data: DataInfo, options: dict[str, Any], tmp_path: Path
) -> None:
    model = build(kind, data, **options)
    model(batch(data))  # moves running statistics
    torch.save(model.state_dict(), tmp_path / "model.pt")
    read = MODEL_KINDS[kind].model_validate_json(section(kind, **options).model_dump_json())
    known = DataInfo.from_json(data.to_json())
    again = build_model(read, info=known, n_outputs=N_OUTPUTS, base_dir=tmp_path, seed=9, is_restored=True)
    again.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert torch.equal(again.eval()(batch(data)), model.eval()(batch(data)))


def step_of(model: nn.Module, x: Tensor, y: Tensor) -> list[Tensor | None]:
    outputs = model(x)
    outputs = outputs.mean(dim=1) if outputs.ndim > 2 else outputs
    loss = nn.functional.cross_entropy(outputs, y)
    return [loss.detach(), *torch.autograd.grad(loss, list(model.parameters()))]


@networks
def test_a_recorded_step_is_the_step_where_a_kind_says_so(kind: str, data: DataInfo, options: dict[str, Any]) -> None:
    if not section(kind, **options).is_recordable:
        assert kind == "recurrent"
        return
    eager, taped = build(kind, data, **options), build(kind, data, **options)
    persistent = [*taped.parameters(), *taped.buffers()]
    x, y = batch(data), torch.tensor([0, 1, 2, 0])
    with untouched(list(taped.buffers())):
        tape, _ = record(lambda: step_of(taped, x, y), persistent=persistent, changing=[x, y])
    program = single_program(tape, [tensor.detach() for tensor in persistent])
    other, classes = batch(data, seed=1), torch.tensor([2, 2, 1, 0])
    torch.manual_seed(5)
    expected = step_of(eager, other, classes)
    torch.manual_seed(5)
    with torch.inference_mode():
        got = program(other, classes)
    assert all(torch.equal(one, two) for one, two in zip(expected, got, strict=True) if one is not None)
    pairs = zip(eager.state_dict().values(), taped.state_dict().values(), strict=True)
    assert all(torch.equal(one, two) for one, two in pairs)


def test_networks_of_other_people_are_not_recorded() -> None:
    others = {"torchvision": {}, "hub": {"repo": "r", "entry": "e"}, "python": {"target": "n.py:N"}, "recurrent": {}}
    assert {kind for kind in MODEL_KINDS if not section(kind, **others.get(kind, {})).is_recordable} == set(others)


# ------------------------------------------------------------------------------------------------------------ sequences


@pytest.mark.parametrize("pooling", ("last", "mean", "max"))
@pytest.mark.parametrize("cell", ("rnn", "lstm", "gru"))
def test_a_recurrent_network_is_torchs_own_over_packed_sequences(cell: str, pooling: str) -> None:
    width, lengths = 6, torch.tensor([5, 7, 1, 2])
    options = {"cell": cell, "depth": 2, "width": width, "bidirectional": True, "pooling": pooling}
    model = build("recurrent", TOKENS, **options).double()
    oracle = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[cell](
        width, width, num_layers=2, bidirectional=True, batch_first=True
    ).double()
    layers = model.get_submodule("layers")
    for name, param in oracle.named_parameters():
        layer, way = int(name.split("_l")[1][0]), "back" if name.endswith("_reverse") else "onward"
        own = layers.get_submodule(f"{layer}.{way}").get_parameter(name.split("_l")[0] + "_l0")
        param.data.copy_(own.data)
    x = batch(TOKENS)
    x[torch.arange(7) >= lengths.unsqueeze(1)] = PADDING
    packed = pack_padded_sequence(model.get_submodule("entry")(x), lengths, batch_first=True, enforce_sorted=False)
    steps, _ = nn.utils.rnn.pad_packed_sequence(oracle(packed)[0], batch_first=True)
    rows = [row[:length] for row, length in zip(steps, lengths, strict=True)]
    pooled = {
        "last": lambda row: torch.cat([row[-1, :width], row[0, width:]]),
        "mean": lambda row: row.mean(dim=0),
        "max": lambda row: row.amax(dim=0),
    }[pooling]
    expected = model.get_submodule("head")(torch.stack([pooled(row) for row in rows]))
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-12)


WITH_PADDING: tuple[tuple[str, dict[str, Any]], ...] = (
    ("bag", {"ngrams": 3, "depth": 1}),
    *(("recurrent", {"cell": cell, "bidirectional": True, "depth": 2}) for cell in ("rnn", "lstm", "gru")),
    *(("recurrent", {"pooling": pooling}) for pooling in ("mean", "max")),
    *(("transformer", {"width": 8, "pooling": pooling}) for pooling in ("mean", "max", "cls")),
    ("transformer", {"width": 8, "attention_dropout": 0.5, "positions": "sinusoidal"}),
)


@pytest.mark.parametrize(("kind", "options"), WITH_PADDING)
def test_longer_padding_changes_nothing(kind: str, options: dict[str, Any]) -> None:
    model = build(kind, TOKENS, **options).double().eval()
    short = torch.tensor([[3, 5, 9, PADDING], [2, 2, 4, 8], [7, PADDING, PADDING, PADDING], [PADDING] * 4])
    long = torch.cat([short, torch.full((4, 3), PADDING)], dim=1)
    torch.testing.assert_close(model(long)[:3], model(short)[:3], rtol=0, atol=1e-12)
    assert model(long).isfinite().all(), "a sequence of padding alone has outputs, too"


@pytest.mark.parametrize(("kind", "options"), WITH_PADDING)
def test_what_is_no_padding_counts(kind: str, options: dict[str, Any]) -> None:
    model = build(kind, TOKENS, **options).eval()
    x = torch.tensor([[3, 5, 9, PADDING], [3, 4, 9, PADDING]])
    assert not torch.allclose(model(x)[0], model(x)[1], atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "options"),
    (
        ("recurrent", {"cell": "gru", "depth": 2}),
        ("recurrent", {"cell": "lstm"}),
        ("transformer", {"width": 8}),
        ("transformer", {"width": 8, "attention_dropout": 0.5, "positions": "sinusoidal", "pooling": "cls"}),
    ),
)
@pytest.mark.parametrize("trains", (False, True))
def test_a_later_token_changes_nothing_before_it(kind: str, options: dict[str, Any], trains: bool) -> None:
    model = build(kind, LANGUAGE, **options).double().train(trains)
    x = batch(LANGUAGE, 2)
    changed = x.clone()
    changed[:, 4] = (changed[:, 4] + 1) % N_TOKENS
    outputs = []
    for inputs in (x, changed):
        torch.manual_seed(0)
        outputs.append(model(inputs))
    torch.testing.assert_close(outputs[0][:, :4], outputs[1][:, :4], rtol=0, atol=1e-13)
    assert not torch.allclose(outputs[0][:, 4:], outputs[1][:, 4:], atol=1e-6)


def test_a_bag_is_torchs_own_embedding_bag_and_forgets_the_order() -> None:
    model = build("bag", TOKENS).double().eval()
    weight = model.get_submodule("bag.tokens").get_parameter("weight")
    x = torch.tensor([[3, 5, 9, PADDING], [9, 3, 5, PADDING]])
    for pooling, scale in (("mean", 1.0), ("sqrtn", math.sqrt(3.0)), ("sum", 3.0)):
        oracle = nn.EmbeddingBag.from_pretrained(weight.detach(), mode="mean", padding_idx=PADDING)
        pooled = build("bag", TOKENS, pooling=pooling).double().eval()
        torch.testing.assert_close(pooled.get_submodule("bag")(x), oracle(x) * scale, rtol=0, atol=1e-12)
    torch.testing.assert_close(model(x)[0], model(x)[1], rtol=0, atol=1e-12)
    with_pairs = build("bag", TOKENS, ngrams=2).double().eval()
    assert not torch.allclose(with_pairs(x)[0], with_pairs(x)[1], atol=1e-6)


def test_a_bag_is_for_tokens_and_for_one_output_a_text() -> None:
    with pytest.raises(ConfigError, match="bag needs tokens"):
        build("bag", STEPS)
    with pytest.raises(ConfigError, match="bag has one output for a whole text"):
        build("bag", LANGUAGE)


def test_axes_of_sequences_are_turned_where_the_data_says_how_they_lie() -> None:
    x = batch(STEPS)
    for kind, given in (("recurrent", STEPS), ("transformer", STEPS), ("convnet", info((4, 7)))):
        plain = build(kind, given).eval()
        turned = build(kind, CHANNELS if given is STEPS else STEPS_FIRST).eval()
        turned.load_state_dict(
            {
                name: value
                for (name, _), value in zip(turned.state_dict().items(), plain.state_dict().values(), strict=True)
            }
        )
        first, second = (x, x.transpose(1, 2)) if given is STEPS else (x.transpose(1, 2), x)
        torch.testing.assert_close(turned(second), plain(first))


def test_a_block_of_a_transformer_is_torchs_own() -> None:
    model = build("transformer", STEPS, depth=1, width=8, heads=2, ff_width=12, positions="none").double().eval()
    block: Any = model.get_submodule("blocks.0")
    oracle = nn.TransformerEncoderLayer(8, 2, 12, 0.0, "gelu", batch_first=True, norm_first=True).double().eval()
    own = {
        "self_attn.in_proj_weight": block.attention.qkv.weight,
        "self_attn.in_proj_bias": block.attention.qkv.bias,
        "self_attn.out_proj.weight": block.attention.out.weight,
        "self_attn.out_proj.bias": block.attention.out.bias,
        **{f"linear{n}.{part}": getattr(block.hidden[2 * n - 2], part) for n in (1, 2) for part in ("weight", "bias")},
        **{
            f"norm{n}.{part}": getattr(getattr(block, f"norm_{n}"), part) for n in (1, 2) for part in ("weight", "bias")
        },
    }
    oracle.load_state_dict(own)
    x = torch.randn(3, 7, 8, dtype=torch.float64)
    torch.testing.assert_close(block(x, None, is_causal=False), oracle(x), rtol=0, atol=1e-12)


def test_dropout_of_attention_looks_at_the_same_places() -> None:
    quiet = build("transformer", TOKENS, width=8).double().train()
    drops = build("transformer", TOKENS, width=8, attention_dropout=0.5).double().train()
    for module in drops.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    x = torch.tensor([[3, 5, 9, PADDING], [2, 2, 4, 8]])
    torch.testing.assert_close(drops(x), quiet(x), rtol=0, atol=1e-12)


def test_sinusoids_are_those_of_the_paper() -> None:
    table = sinusoids(20, 6)
    for place, pair in ((0, 0), (7, 1), (19, 2)):
        angle = place / 10_000 ** (2 * pair / 6)
        assert table[place, 2 * pair : 2 * pair + 2].tolist() == pytest.approx([math.sin(angle), math.cos(angle)])
    assert sinusoids(4, 5).shape == (4, 5)


# --------------------------------------------------------------------------------------------------- experts and layers


def test_a_mixture_is_the_weighted_sum_of_the_experts_that_the_router_takes() -> None:
    torch.manual_seed(0)
    mixture = Mixture(5, 4, n_experts=6, top_k=2, balance=0.0).double()
    x_BF = torch.randn(8, 5, dtype=torch.float64)
    expected = []
    for row in x_BF:
        scores, taken = mixture.router(row).topk(2)
        experts = [mixture.experts.weight[index] @ row + mixture.experts.bias[index] for index in taken]
        expected.append(sum(weight * output for weight, output in zip(scores.softmax(0), experts, strict=True)))
    torch.testing.assert_close(mixture(x_BF), torch.stack(expected), rtol=0, atol=1e-12)


def test_one_expert_is_a_linear_layer() -> None:
    mixture = Mixture(5, 4, n_experts=1, top_k=1, balance=0.0)
    x = torch.randn(3, 5)
    experts = mixture.experts
    torch.testing.assert_close(mixture(x), nn.functional.linear(x, experts.weight[0], experts.bias[0]))


def test_the_balance_adds_its_gradient_and_nothing_to_the_outputs() -> None:
    torch.manual_seed(0)
    mixture = Mixture(5, 4, n_experts=3, top_k=1, balance=0.5).double()
    x = torch.randn(8, 5, dtype=torch.float64)
    params = list(mixture.parameters())
    outputs = mixture(x)
    got = torch.autograd.grad(outputs.square().mean(), params)
    logits = mixture.router(x)
    taken = nn.functional.one_hot(logits.argmax(dim=1), 3).double()
    mixture.balance = 0.0
    assert torch.equal(outputs, mixture(x))
    expected = torch.autograd.grad(mixture(x).square().mean() + 0.5 * imbalance(logits, taken), params)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert float(imbalance(torch.zeros(6, 3), torch.eye(3).repeat(2, 1))) == pytest.approx(1.0)


def test_a_residual_layer_adds_its_input() -> None:
    model = build("mlp", TABLE, depth=2, width=(5, 6), residual=True, activation="tanh")
    first, second = model.get_submodule("layers")
    x = torch.randn(4, 5)
    hidden = first.body(x) + x
    expected = model.get_submodule("head")(second.body(hidden) + second.shortcut(hidden))
    torch.testing.assert_close(model(x), expected)


def test_categories_are_embedded_and_numbers_are_not() -> None:
    model = build("linear", CATEGORIES, embedding=2)
    x = torch.tensor([[0.5, -1.0, 2.0, 3.0, 1.0]])
    first, second = model.get_submodule("columns.embeddings")
    row = torch.cat([x[0, :3], first.weight[3], second.weight[1]])
    torch.testing.assert_close(model(x)[0], model.get_submodule("head")(row))
    assert [embedding_size(n) for n in (2, 10, 1000, 10**7)] == [2, 6, 77, 600]


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    torch.manual_seed(0)
    x = torch.randn(1000, 500)
    y = AlphaDropout(0.3)(x)
    assert (float(y.mean()), float(y.std())) == pytest.approx((0.0, 1.0), abs=0.01)
    left_out = y.flatten().mode().values
    assert float((y == left_out).double().mean()) == pytest.approx(0.3, abs=0.01)
    assert share_kept(0.3) == pytest.approx(0.7, abs=1e-4)
    assert torch.equal(AlphaDropout(0.3).eval()(x), x)


def test_locked_dropout_leaves_out_the_same_features_at_all_steps() -> None:
    torch.manual_seed(0)
    y = LockedDropout(0.5)(torch.ones(10, 6, 20))
    assert torch.equal(y, y[:, :1].expand_as(y))
    assert 0 < float((y == 0).double().mean()) < 1


@pytest.mark.parametrize("scheme", ("kaiming", "xavier", "orthogonal", "normal"))
@pytest.mark.parametrize(("kind", "data"), (("mlp", TABLE), ("moe", TABLE), ("convnet", IMAGES), ("recurrent", STEPS)))
def test_weights_begin_as_the_scheme_says_and_follow_from_the_seed(kind: str, data: DataInfo, scheme: str) -> None:
    model, same = (build(kind, data, init=scheme, width=96, seed=3) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), same.parameters(), strict=True))
    weights = [param for name, param in model.named_parameters() if param.ndim > 1]
    widest = max(weights, key=torch.Tensor.numel)
    matrix = widest[0] if kind == "moe" and widest.ndim == 3 else widest.flatten(1)
    n_out, n_in = matrix.shape
    if scheme == "orthogonal":
        small = matrix @ matrix.T if n_out <= n_in else matrix.T @ matrix
        torch.testing.assert_close(small, torch.eye(len(small)), rtol=0, atol=1e-4)
    else:
        fan_out = n_out if kind != "convnet" else n_out * 9 if widest.ndim == 4 else n_out
        deviation = {"kaiming": math.sqrt(2 / n_in), "xavier": math.sqrt(2 / (n_in + fan_out)), "normal": 0.02}[scheme]
        assert float(matrix.detach().std()) == pytest.approx(deviation, rel=0.1)
    assert all(not param.any() for name, param in model.named_parameters() if name.endswith("linear.bias"))


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("kind", "data", "options", "message"),
    (
        (
            "mlp",
            TOKENS,
            {},
            "model.kind: mlp needs numbers, and these inputs are tokens; use kind: bag, recurrent or tr",
        ),
        (
            "convnet",
            TOKENS,
            {},
            "model.kind: convnet needs images (C, H, W) or sequences (C, L), got inputs of shape (7,",
        ),
        (
            "resnet",
            STEPS,
            {},
            "model.kind: resnet needs images (C, H, W), got inputs of shape (7, 4); use kind: convnet, ",
        ),
        (
            "recurrent",
            TABLE,
            {},
            "model.kind: recurrent needs sequences of tokens (L,) or of numbers (L, F), got inputs o",
        ),
        ("recurrent", IMAGES, {}, "got inputs of shape (3, 8, 8); use kind: convnet"),
        (
            "recurrent",
            LANGUAGE,
            {"bidirectional": True},
            "model.bidirectional: a language model predicts the next token",
        ),
        ("transformer", TABLE, {}, "got inputs of shape (5,); use kind: mlp"),
        (
            "transformer",
            IMAGES,
            {"patch": 3},
            "model.patch: 3 does not divide the sides of images of 8 by 8; use one of 1",
        ),
    ),
)
def test_inputs_that_a_network_cannot_take_are_refused_with_the_remedy(
    kind: str, data: DataInfo, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        build(kind, data, **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


HEADS = "data: {kind: digits}\nmodel: {kind: transformer, width: 60}\nspace:\n  model.heads: "


def test_heads_that_never_divide_the_width_are_refused_where_they_stand(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(HEADS + "[3, 4, 7]\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "s.yaml")
    assert [(place.line, place.column, place.message) for place in caught.value.where] == [
        (4, 23, "7 do not divide the width of 60")
    ]


def test_heads_that_divide_a_width_in_the_middle_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(HEADS + "[4, 9]\n  model.width: {low: 16, high: 64, step: 4}\n")
    assert load(tmp_path / "s.yaml").bind({"model.heads": 9, "model.width": 36})


def test_heads_that_divide_some_widths_are_refused_in_the_trials_that_have_others(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(HEADS + "[4, 7]\n  model.width: [60, 63]\n")
    spec = load(tmp_path / "s.yaml")
    assert spec.bind({"model.heads": 7, "model.width": 63}).model.kind == "transformer"
    with pytest.raises(ConfigError, match=r"model\.heads: 7 do not divide the width of 60"):
        spec.bind({"model.heads": 7, "model.width": 60})


def test_contributing_shows_a_real_kind() -> None:
    root = HERE.parent
    source = (root / "tuner/config/schema/model_kinds/linear.py").read_text(encoding="utf-8")
    assert f"```python\n{source}```" in (root / "CONTRIBUTING.md").read_text(encoding="utf-8")


# ----------------------------------------------------------------------------------------------------------- end to end

DIGITS = """
study: kinds
objective: {metric: accuracy}
data: {kind: digits, batch_size: 64}
model: {depth: 1, width: 8}
optimizer: {kind: adam, lr: 0.01}
train: {epochs: 2, device: cpu, batches_per_epoch: 8}
space: {model.kind: [linear, moe, convnet, resnet, transformer]}
search: {sampler: grid, pruner: none, workers: 1}
confirm: off
"""
TEXTS = """
study: texts
objective: {metric: accuracy}
data: {kind: text, path: texts.csv, target: mood, batch_size: 8, split: {val: 0.25, test: 0.25}}
model: {kind: recurrent, width: 8, depth: 1}
optimizer: {kind: adam, lr: 0.01}
train: {epochs: 2, device: cpu}
space:
  model.kind: [recurrent, transformer]
  model.cell: {choices: [gru, lstm], when: {model.kind: recurrent}}
  model.bidirectional: {choices: [false, true], when: {model.cell: lstm}}
  model.pooling: {choices: [mean, cls], when: {model.kind: transformer}}
search: {sampler: grid, pruner: none, workers: 1}
confirm: off
"""


def exports(name: str, text: str, folder: Path) -> dict[str, list[Path]]:
    """Search the whole grid and export every trial; the exports by the kind of their models."""
    (folder / f"{name}.yaml").write_text(text)
    counts = search(SearchRequest(space=f"{name}.yaml"), None, InlineExecutor()).status.counts
    assert counts["complete"] == sum(counts.values())
    found: dict[str, list[Path]] = {}
    for number in range(counts["complete"]):
        export = best(study=name, trial=number)
        found.setdefault(export.bundle.config.model.kind, []).append(export.path)
    return found


@pytest.mark.slow
def test_every_kind_of_images_is_searched_exported_and_predicts(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    found = exports("kinds", DIGITS, tmp_path)
    assert {kind: len(paths) for kind, paths in found.items()} == dict.fromkeys(
        ("linear", "moe", "convnet", "resnet", "transformer"), 1
    )
    images = load_digits().images[:4]
    for path in (paths[0] for paths in found.values()):
        assert tuner.load(path).predict_proba(images).shape == (4, 10)


@pytest.mark.slow
def test_every_kind_of_texts_is_searched_exported_and_predicts(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    words = [f"it is {'good' if number % 2 else 'bad'}{' indeed' * (number % 12)}" for number in range(48)]
    lines = [f"{text},{'happy' if number % 2 else 'sad'}" for number, text in enumerate(words)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,mood", *lines]))
    found = exports("texts", TEXTS, tmp_path)
    assert {kind: len(paths) for kind, paths in found.items()} == {"recurrent": 3, "transformer": 2}
    for path in (path for paths in found.values() for path in paths):
        assert set(tuner.load(path).predict(["it is good", "it is bad indeed"])) <= {"happy", "sad"}
