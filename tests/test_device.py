from __future__ import annotations

import pytest
import torch

from tuner.device import (
    Arithmetic,
    Available,
    PrecisionPlan,
    available,
    choose,
    plan_precision,
    precision_of,
    resolve,
    set_products,
    stored_precision,
)
from tuner.errors import ConfigError, MissingError

CPU_ONLY = Available()
TWO_CARDS = Available(kind="cuda", n_devices=2)
INTEL = Available(kind="xpu", n_devices=2)
MAC = Available(kind="mps", n_devices=1)
CPU, APPLE = Arithmetic(kind="cpu", has_bf16=True), Arithmetic(kind="mps")
H100, TURING = Arithmetic(kind="cuda", has_bf16=True, has_tf32=True), Arithmetic(kind="cuda")
FP32 = PrecisionPlan(autocast_dtype=None, needs_scaler=False)
BF16 = PrecisionPlan(autocast_dtype=torch.bfloat16, needs_scaler=False)
FP16 = PrecisionPlan(autocast_dtype=torch.float16, needs_scaler=True)
FP64 = PrecisionPlan(autocast_dtype=None, needs_scaler=False, is_double=True)
TF32 = PrecisionPlan(autocast_dtype=None, needs_scaler=False, is_tf32=True)


@pytest.mark.parametrize(
    ("name", "there", "chosen"),
    (
        ("auto", CPU_ONLY, "cpu"),
        ("auto", MAC, "mps"),
        ("auto", TWO_CARDS, "cuda:0"),
        ("auto", INTEL, "xpu:0"),
        ("xpu", INTEL, "xpu:0"),
        ("xpu:1", INTEL, "xpu:1"),
        ("cpu", INTEL, "cpu"),
        ("cuda", TWO_CARDS, "cuda:0"),
        ("cuda:1", TWO_CARDS, "cuda:1"),
        ("cpu", TWO_CARDS, "cpu"),
        ("mps", MAC, "mps"),
    ),
)
def test_a_name_becomes_a_device_that_is_there(name: str, there: Available, chosen: str) -> None:
    assert choose(name, there) == chosen


def test_a_card_that_is_not_there_is_missing_and_the_others_are_named() -> None:
    with pytest.raises(MissingError) as caught:
        choose("cuda:2", TWO_CARDS)
    assert str(caught.value) == (
        "train.device: cuda:2 is not there; this machine has cuda:0, cuda:1, cpu. Use auto, or one of these"
    )
    assert caught.value.exit_code == 5


def test_cuda_on_a_machine_without_says_what_to_look_at() -> None:
    with pytest.raises(MissingError, match=r"cuda is not there; this machine has cpu\. .*`nvidia-smi`"):
        choose("cuda", CPU_ONLY)


def test_mps_on_a_machine_without_does_not_speak_of_nvidia() -> None:
    with pytest.raises(MissingError) as caught:
        choose("mps", CPU_ONLY)
    assert str(caught.value) == "train.device: mps is not there; this machine has cpu. Use auto, or one of these"


@pytest.mark.parametrize("name", ("gpu", "cuda:", "cuda:-1", "cpu:0", ""))
def test_an_unknown_name_is_a_config_error(name: str) -> None:
    with pytest.raises(
        ConfigError, match=r"train\.device: unknown device .*; expected auto, cpu, cuda, cuda:N, xpu, xpu:N or mps"
    ):
        choose(name, TWO_CARDS)


def test_resolve_gives_a_torch_device_on_which_a_tensor_can_be_made() -> None:
    device = resolve("auto")
    assert torch.zeros(1, device=device).device == device
    assert str(device) == available().names()[0]


def test_resolve_refuses_a_card_beyond_those_that_torch_sees() -> None:
    with pytest.raises(MissingError, match="cuda:99 is not there"):
        resolve("cuda:99")


@pytest.mark.parametrize(
    ("name", "there", "plan"),
    (
        ("auto", CPU, FP32),
        ("bf16", CPU, BF16),
        ("fp16", CPU, FP16),
        ("fp64", CPU, FP64),
        ("auto", H100, BF16),
        ("auto", TURING, FP32),
        ("fp32", H100, FP32),
        ("tf32", H100, TF32),
        ("fp16", TURING, FP16),
        ("auto", APPLE, FP32),
        ("bf16", Arithmetic(kind="xpu", has_bf16=True), BF16),
        ("auto", Arithmetic(kind="xpu", has_bf16=True), FP32),
    ),
)
def test_a_precision_is_a_plan_for_the_device(name: str, there: Arithmetic, plan: PrecisionPlan) -> None:
    assert plan_precision(name, there) == plan


@pytest.mark.parametrize(
    ("name", "there", "message"),
    (
        ("bf16", TURING, "bf16: this card has no bf16 arithmetic; use auto, fp32 or fp16"),
        ("tf32", TURING, "tf32: only NVIDIA cards from compute capability 8.0 (Ampere) on have it; use auto or fp32"),
        ("tf32", CPU, "tf32: only NVIDIA cards from compute capability 8.0 (Ampere) on have it; use auto or fp32"),
        ("fp64", APPLE, "fp64: tuner trains in fp32 on an Apple GPU; use auto or fp32"),
        ("fp16", APPLE, "fp16: tuner trains in fp32 on an Apple GPU; use auto or fp32"),
    ),
)
def test_a_precision_that_the_device_has_not_is_missing(name: str, there: Arithmetic, message: str) -> None:
    with pytest.raises(MissingError) as caught:
        plan_precision(name, there)
    assert str(caught.value) == f"train.precision: {message}"
    assert caught.value.exit_code == 5


def test_weights_of_any_precision_are_evaluated_on_any_device() -> None:
    assert [stored_precision(name).name for name in ("auto", "tf32", "bf16", "fp64")] == ["fp32"] * 3 + ["fp64"]


def test_products_are_exact_in_fp32_and_in_tf32_only_where_that_is_asked_for() -> None:
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = (matmul.fp32_precision, conv.fp32_precision, torch.backends.cudnn.rnn.fp32_precision)  # type: ignore[attr-defined]
    found = []
    try:
        for plan in (TF32, FP32, BF16):
            set_products(plan, torch.device("cuda"))
            found.append((matmul.fp32_precision, conv.fp32_precision))
        set_products(TF32, torch.device("cpu"))
        assert (matmul.fp32_precision, conv.fp32_precision) == found[-1]
    finally:
        matmul.fp32_precision, conv.fp32_precision, torch.backends.cudnn.rnn.fp32_precision = before  # type: ignore[attr-defined]
    assert found == [("tf32", "tf32"), ("ieee", "ieee"), ("ieee", "tf32")]


def test_every_plan_has_the_name_of_its_arithmetic() -> None:
    assert [plan.name for plan in (FP32, TF32, BF16, FP16, FP64)] == ["fp32", "tf32", "bf16", "fp16", "fp64"]


@pytest.mark.gpu
def test_the_card_is_asked_whether_it_computes_in_bf16() -> None:
    has_bf16 = torch.cuda.get_device_capability(0) >= (8, 0)
    assert precision_of("auto", resolve("cuda")) == (BF16 if has_bf16 else FP32)
