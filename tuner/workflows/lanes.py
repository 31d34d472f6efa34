"""Which trials train as lanes of one program, and how many.

Lanes share what fixes the shape of their program (see tuner.config.lanes). The first trial of a group, its leader, is
asked for freely; the others with the leader's shape, so the search would try fewer shapes. `search.breadth` bounds
that: a shape that is had by 1 / breadth trials gets no more unless the sampler chooses it freely, or every shape has
been tried. The rule looks at the params of the trials alone, so that a resumed search does what an unbroken one does.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tuner.config.lanes import fixed_params, is_free, lane_key
from tuner.config.schema import GridSampler, PythonData, Search, TrialConfig
from tuner.space.parameters import Choices, IntRange, Params, Space
from tuner.workflows.placement import Remembered

LEAST_GAIN = 1.25
"""`lanes: auto` takes lanes that are faster by this factor.

Trials that are asked for together know less of each other, and are pruned later: a smaller gain in epochs was a loss in
time (100 trials of benchmarks/peers/search.yaml: 10 s without lanes, 18 s with lanes of 4 that gained 1.2 times).
"""
MEASURED_ON_CPU = (4,)
"""Numbers of lanes that are tried.

8 trained 1.2 times as much as 4, and pruned so much later that searches of equal wall time ended 410 to 683 trials and
not 552 to 694 as without lanes (benchmarks/lanes.py, 3 seeds, 2 workers).
"""
MEASURED_ON_GPU = (8, 32, 128, 256)

Measure = Callable[[TrialConfig, tuple[int, ...]], dict[int, float]]
"""Seconds of a step of one lane, by the number of lanes."""


@dataclass(slots=True, kw_only=True)
class LanePlan:
    """Decides about groups."""

    space: Space
    search: Search
    on_cpu: bool
    measure: Measure
    remembered: Remembered
    machine: str
    """What speeds depend on besides the shape: processor, cores, threads, versions."""
    refuses: Callable[[TrialConfig], bool] | None = None
    """Whether the number of a model's parameters breaks a constraint, in all lanes alike; None without one."""
    _shapes: Counter[frozenset[tuple[str, Any]]] = field(default_factory=Counter)
    _known: dict[str, int] = field(default_factory=dict)

    def add(self, params: Params) -> None:
        """Take a trial into account, of this session or of an earlier one."""
        self._shapes[self._shape(params)] += 1

    def _shape(self, params: Params) -> frozenset[tuple[str, Any]]:
        return frozenset(self.fixed(params).items())

    def fixed(self, params: Params) -> dict[str, Any]:
        """The params that the lanes of this trial's program share."""
        return fixed_params(params, one_rule=not self.on_cpu)

    def key(self, config: TrialConfig) -> str:
        """Equal for trials that can be lanes of one program."""
        return lane_key(config, one_rule=not self.on_cpu)

    def add_all(self, trials: Iterable[Params]) -> None:
        for params in trials:
            self.add(params)

    def may_follow(self, params: Params) -> bool:
        """Whether another trial may be asked for with the shape of these params."""
        if isinstance(self.search.sampler, GridSampler):  # the grid has its own order
            return False
        if len(self._shapes) >= n_shapes(self.space, one_rule=not self.on_cpu):
            return True
        return self._shapes[self._shape(params)] + 1 <= 1 / self.search.breadth

    def size(
        self, config: TrialConfig, n_left: float, n_workers: int, before_measuring: Callable[[], None] = lambda: None
    ) -> int:
        """How many lanes a group with this leader may have; `n_left` trials are still to be asked for.

        A leader that its own size rules out is left alone: the others would be ruled out with it.
        """
        if (
            config.is_own_training
            # Their batches differ in length, and a lane would be padded as its company is: other sums, other bits.
            or (self.on_cpu and config.data.is_padded)
            or (isinstance(config.data, PythonData) and config.data.is_padded)  # a collate function: likewise
            or self.search.lanes == 1
            or (self.search.lanes == "auto" and self.on_cpu and n_workers == 1)
        ):
            return 1  # one worker on the CPU asks for the same trials however often it is stopped, or extended
        # The last trials are spread over the workers; and a trial that is asked for early knows little of the others.
        fair = 1 + (n_left if math.isinf(n_left) else int(n_left) // n_workers)
        given = self.search.lanes
        wanted = given if isinstance(given, int) else self._fastest(config, before_measuring)
        size = int(min(wanted, fair))
        if size > 1 and self.refuses is not None:
            before_measuring()
            return 1 if self.refuses(config) else size
        return size

    def _fastest(self, config: TrialConfig, before_measuring: Callable[[], None]) -> int:
        if self.on_cpu and not _is_recorded(config):
            return 1  # its lanes are equal to runs alone in distribution, not to the bit: for those who ask for them
        key = hashlib.sha256(f"{self.machine} {rough_shape(config)}".encode()).hexdigest()[:32]
        if key not in self._known:
            self._known[key] = self.remembered.get(key) or self._measured(key, config, before_measuring)
        return self._known[key]

    def _measured(self, key: str, config: TrialConfig, before_measuring: Callable[[], None]) -> int:
        before_measuring()
        seconds = self.measure(config, MEASURED_ON_CPU if self.on_cpu else MEASURED_ON_GPU)
        size = best_size(seconds)
        if seconds:
            self.remembered.put(key, size)
        return size


def _is_recorded(config: TrialConfig) -> bool:
    """Whether the steps of a trial are recorded on the CPU, see tuner.training.steps."""
    is_plain = config.train.precision not in ("bf16", "fp16")
    return is_plain and config.model.is_recordable and config.loss.kind != "python"


def best_size(seconds: dict[int, float]) -> int:
    """The number of lanes that trains fastest; 1 where nothing was measured, or the gain is small."""
    size = min(seconds, key=lambda size: seconds[size], default=1)
    return size if size > 1 and seconds[1] / seconds[size] >= LEAST_GAIN else 1


def n_shapes(space: Space, *, one_rule: bool = False) -> float:
    """How many shapes a space has at most; inf for real numbers."""
    fixed = [item.domain for item in space.parameters if not is_free(item.name, one_rule=one_rule)]
    return math.prod(map(_n_values, fixed))


def _n_values(domain: Any) -> float:
    if isinstance(domain, Choices):
        return len(domain.labels)
    if isinstance(domain, IntRange):
        return (domain.high - domain.low) // (domain.step or 1) + 1
    return math.inf


def rough_shape(config: TrialConfig) -> str:
    """Equal for configs whose speed is about the same: sizes count by their power of two."""
    model = config.model.model_dump(mode="json")
    if "width" in model:
        model["width"] = _power(max(_listed(model["width"]), default=1))
    if "dropout" in model:
        model["dropout"] = any(_listed(model["dropout"]))
    data = config.data.model_dump(mode="json", exclude={"batch_size", "split"})
    batch, limit = _power(config.data.batch_size), config.train.batches_per_epoch
    return json.dumps([model, data, batch, limit and _power(limit), config.train.precision], sort_keys=True)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _power(value: int) -> int:
    return round(math.log2(value))
