"""What is promised about speed, what was measured, and the table of docs/speed.md that says both.

A claim names the benchmark and the name in its `summary` (see _machine.py); what has not been measured says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from _machine import Result

Relation = Literal[">=", "<=", "<"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One line of the table; without a target the figure is shown and not judged."""

    text: str
    benchmark: str
    key: str
    unit: str = ""
    digits: int = 2
    is_signed: bool = False
    relation: Relation = ">="
    target: float | None = None

    def is_met(self, value: float) -> bool | None:
        if self.target is None:
            return None
        if self.relation == ">=":
            return value >= self.target
        return value <= self.target if self.relation == "<=" else value < self.target

    def target_text(self) -> str:
        if self.target is None:
            return ""
        sign = {">=": "at least", "<=": "at most", "<": "below"}[self.relation]
        return f"{sign} {self.target:g}{self.unit}"

    def value_text(self, value: float) -> str:
        return f"{value:{'+' if self.is_signed else ''}.{self.digits}f}{self.unit}"


CLAIMS = (
    Claim(
        text="Search: wall time, script over tuner",
        benchmark="search",
        key="wall_ratio",
        unit=" times",
        digits=1,
        target=15,
    ),
    Claim(
        text="Search: CPU time, script over tuner",
        benchmark="search",
        key="cpu_ratio",
        unit=" times",
        digits=1,
    ),
    Claim(
        text="Search: test accuracy of the best configuration re-trained, tuner - script",
        benchmark="search",
        key="retrained_difference",
        digits=4,
        is_signed=True,
        target=-0.005,
    ),
    Claim(
        text="Search: wall time, Ray Tune with ASHA on 2 workers over tuner, equal trials",
        benchmark="search",
        key="ray_wall_ratio",
        unit=" times",
        digits=1,
    ),
    Claim(
        text="Loop: samples/s over the per-sample DataLoader loop, width 128, batch 64",
        benchmark="training_loop",
        key="per_sample_128_64",
        unit=" times",
        digits=1,
        target=8,
    ),
    Claim(
        text="Loop: of the bare tensor loop, worst case of all",
        benchmark="training_loop",
        key="bare_worst",
        target=0.95,
    ),
    Claim(
        text="Loop: of its own matrix products, width 128, worst batch",
        benchmark="training_loop",
        key="products_128_worst",
        target=0.5,
    ),
    Claim(
        text="Loop: of its own matrix products, width 512, worst batch",
        benchmark="training_loop",
        key="products_512_worst",
        target=0.7,
    ),
    Claim(
        text="Loop: of the sgemm rate (1024 x 1024 x 1024), width 128, batch 64",
        benchmark="training_loop",
        key="sgemm_128_64",
        target=0.5,
    ),
    Claim(
        text="Loop: of the sgemm rate (1024 x 1024 x 1024), width 512, batch 64",
        benchmark="training_loop",
        key="sgemm_512_64",
        target=0.7,
    ),
    Claim(
        text="Driver: epoch events per second, sustained, 64 workers that cost nothing",
        benchmark="driver",
        key="events_per_s",
        digits=0,
        target=500,
    ),
    Claim(
        text="Driver: ask at 1000 trials, mean, default sampler",
        benchmark="driver",
        key="ask_ms_1000",
        unit=" ms",
        digits=1,
        relation="<=",
        target=10,
    ),
    Claim(
        text="Driver: ask at 5000 trials, mean, default sampler",
        benchmark="driver",
        key="ask_ms_5000",
        unit=" ms",
        digits=1,
        relation="<=",
        target=40,
    ),
    Claim(
        text="Driver: resume of a study of 5000 trials",
        benchmark="driver",
        key="resume_s_5000",
        unit=" s",
        digits=1,
        relation="<",
        target=3,
    ),
    Claim(
        text="Driver: `tuner status` at 5000 trials",
        benchmark="driver",
        key="status_s_5000",
        unit=" s",
        relation="<",
        target=1,
    ),
    Claim(
        text="Driver: `tuner trials` at 5000 trials",
        benchmark="driver",
        key="trials_s_5000",
        unit=" s",
        relation="<",
        target=1,
    ),
    Claim(
        text="Start: first epoch of mlp.yaml done after a bare script has imported torch",
        benchmark="startup",
        key="first_epoch_after_torch_s",
        unit=" s",
        relation="<=",
        target=2,
    ),
    Claim(
        text="Start: the same of fashion_mlp.yaml, whose epochs take longer",
        benchmark="startup",
        key="first_epoch_after_torch_fashion_s",
        unit=" s",
        relation="<=",
        target=2,
    ),
    Claim(text="Workers: epochs/s of 2 over 1", benchmark="scaling", key="ratio", unit=" times", target=1.85),
    Claim(
        text="Workers: share of their time that 64 simulated ones wait for the driver",
        benchmark="many_workers",
        key="waiting_percent",
        unit=" %",
        digits=1,
        relation="<",
        target=5,
    ),
    Claim(
        text="Lanes on the CPU: `auto` over single runs, worst case",
        benchmark="lanes",
        key="auto_worst",
        target=0.97,
    ),
    Claim(
        text="Lanes on the CPU: best speed-up at width 32",
        benchmark="lanes",
        key="speedup_width_32",
        unit=" times",
        target=2.2,
    ),
    Claim(
        text="Lanes on the CPU: best speed-up at width 32 over the bare tensor loop",
        benchmark="lanes",
        key="over_bare_width_32",
        unit=" times",
    ),
    Claim(
        text="Lanes: mean best accuracy of searches of equal wall time, with lanes - without",
        benchmark="lanes",
        key="search_difference",
        digits=4,
        is_signed=True,
    ),
    Claim(
        text="Lanes on a GPU: Fashion-MNIST MLP over a single run",
        benchmark="gpu",
        key="speedup_mlp",
        unit=" times",
        digits=1,
        target=15,
    ),
    Claim(
        text="Lanes on a GPU: small CNN over a single run",
        benchmark="gpu",
        key="speedup_cnn",
        unit=" times",
        digits=1,
        target=5,
    ),
    Claim(
        text="Memory: resident size of a further worker, Fashion-MNIST",
        benchmark="memory",
        key="further_worker_mb",
        unit=" MB",
        digits=0,
        relation="<=",
        target=400,
    ),
)


def table(results: Mapping[str, Result]) -> str:
    """Claim, target, measured, command: Markdown."""
    lines = ["| claim | target | measured | | command |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *(_line(claim, results.get(claim.benchmark)) for claim in CLAIMS)])


def _line(claim: Claim, result: Result | None) -> str:
    value = None if result is None else result.summary.get(claim.key)
    begin = f"| {claim.text} | {claim.target_text()} |"
    if result is None or value is None:
        return f"{begin} *not measured yet* | | `python benchmarks/{claim.benchmark}.py` |"
    verdict = {True: "met", False: "**missed**", None: ""}[claim.is_met(value)]
    return f"{begin} {claim.value_text(value)} | {verdict} | `{result.header['command']}` |"
