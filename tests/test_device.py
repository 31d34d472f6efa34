from __future__ import annotations

import pytest
import torch

from tuner.device import Available, PrecisionPlan, available, choose, plan_precision, precision_of, resolve
from tuner.errors import ConfigError, MissingError

CPU_ONLY = Available(n_cuda=0, has_mps=False)
TWO_CARDS = Available(n_cuda=2, has_mps=False)
MAC = Available(n_cuda=0, has_mps=True)
FP32 = PrecisionPlan(autocast_dtype=None, needs_scaler=False)
BF16 = PrecisionPlan(autocast_dtype=torch.bfloat16, needs_scaler=False)
FP16 = PrecisionPlan(autocast_dtype=torch.float16, needs_scaler=True)


@pytest.mark.parametrize(
    ("name", "there", "chosen"),
    (
        ("auto", CPU_ONLY, "cpu"),
        ("auto", MAC, "mps"),
        ("auto", TWO_CARDS, "cuda:0"),
        ("auto", Available(n_cuda=1, has_mps=True), "cuda:0"),
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
    with pytest.raises(ConfigError, match=r"train\.device: unknown device .*; expected auto, cpu, cuda, cuda:N or mps"):
        choose(name, TWO_CARDS)


def test_resolve_gives_a_torch_device_on_which_a_tensor_can_be_made() -> None:
    device = resolve("auto")
    assert torch.zeros(1, device=device).device == device
    assert str(device) == available().names()[0]


def test_resolve_refuses_a_card_beyond_those_that_torch_sees() -> None:
    with pytest.raises(MissingError, match="cuda:99 is not there"):
        resolve("cuda:99")


@pytest.mark.parametrize("name", ("auto", "fp32", "bf16", "fp16"))
def test_the_cpu_computes_in_fp32_whatever_is_asked_for(name: str) -> None:
    assert precision_of(name, torch.device("cpu")) == FP32


@pytest.mark.parametrize(
    ("name", "has_bf16", "plan"),
    (
        ("auto", True, BF16),
        ("auto", False, FP32),
        ("fp32", True, FP32),
        ("bf16", True, BF16),
        ("fp16", True, FP16),
        ("fp16", False, FP16),
    ),
)
def test_cuda_autocasts_and_only_fp16_needs_a_scaler(name: str, has_bf16: bool, plan: PrecisionPlan) -> None:
    assert plan_precision(name, on_cuda=True, has_bf16=has_bf16) == plan


def test_every_plan_has_the_name_of_its_arithmetic() -> None:
    assert [plan.name for plan in (FP32, BF16, FP16)] == ["fp32", "bf16", "fp16"]


def test_bf16_on_a_card_without_it_is_missing() -> None:
    with pytest.raises(MissingError, match=r"train\.precision: bf16: this card has no bf16.*use auto, fp32 or fp16"):
        plan_precision("bf16", on_cuda=True, has_bf16=False)


@pytest.mark.gpu
def test_the_card_is_asked_whether_it_computes_in_bf16() -> None:
    has_bf16 = torch.cuda.get_device_capability(0) >= (8, 0)
    assert precision_of("auto", resolve("cuda")) == (BF16 if has_bf16 else FP32)
