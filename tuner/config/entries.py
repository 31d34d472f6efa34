"""The entries of `space:`: one that is checked, and the state of checking them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tuner.config.bind import PerLayer
from tuner.config.messages import Problems
from tuner.config.schema import Section
from tuner.space.document import Located
from tuner.space.parameters import Belief, Condition, Domain, MoreThan, Parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """What `each:` asks for: a value a layer, for as many layers as `count` has in a trial."""

    count: str
    constant: int | None
    """The number of layers, where it does not vary."""
    least: int
    """Layers that are there in every trial that has the list: they need no condition on the count."""
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Varied:
    """A checked entry."""

    name: str
    node: Located
    domain: Domain
    kinds: tuple[str | None, ...]
    """The kinds that its section can have while the entry is active; (None,) for sections without kinds."""
    conditions: tuple[Condition, ...] = ()
    layers: Layers | None = None
    belief: Belief | None = None
    is_free: bool = False
    """Whether it goes to an option that takes anything, which only the user's own code can refuse."""

    @property
    def section(self) -> str:
        return self.name.partition(".")[0]

    @property
    def requirements(self) -> tuple[Condition, ...]:
        return requirements(self.conditions, self.layers)

    @property
    def per_layer(self) -> PerLayer | None:
        if self.layers is None:
            return None
        constant = self.layers.constant
        return PerLayer(name=self.name, count=self.layers.count, constant=constant, conditions=self.conditions)

    @property
    def n_parameters(self) -> int:
        return 1 if self.layers is None else self.layers.most

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Itself, or one parameter a layer."""
        if self.layers is None:
            return (self._parameter(self.name, self.conditions),)
        return tuple(
            self._parameter(f"{self.name}.{layer}", self._conditions(self.layers, layer))
            for layer in range(self.layers.most)
        )

    def _parameter(self, name: str, conditions: tuple[Condition, ...]) -> Parameter:
        return Parameter(name=name, domain=self.domain, conditions=conditions, belief=self.belief)

    def _conditions(self, layers: Layers, layer: int) -> tuple[Condition, ...]:
        if layer < layers.least:
            return self.conditions
        return (*self.conditions, MoreThan(parent=layers.count, bound=layer))


def requirements(conditions: tuple[Condition, ...], layers: Layers | None) -> tuple[Condition, ...]:
    """What has to hold for any value of an entry to be sampled: its conditions, and a layer that the value is for."""
    if layers is None or layers.constant is not None:
        return conditions
    return (*conditions, MoreThan(parent=layers.count, bound=0))


class NeverActiveError(Exception):
    """An entry cannot be active because `--set` took its parent out of the space: it is left out, too."""


@dataclass(slots=True, kw_only=True)
class Entries:
    """All entries while they are checked, parents first. What depends on a wrong entry is not judged."""

    nodes: Mapping[str, Located]
    base: Mapping[str, Section | None]
    """The sections of the base config; None for those that are wrong themselves. Own training code needs few."""
    base_kinds: Mapping[str, str | None]
    """The kind of each section that has kinds; None where it is wrong."""
    released: frozenset[str]
    """Parameters that `--set` took out of the space."""
    problems: Problems
    varied: dict[str, Varied] = field(default_factory=dict)
    dropped: dict[str, None] = field(default_factory=dict)
    wrong: set[str] = field(default_factory=set)

    def refuse(self, name: str, message: str, node: Located | None = None, *, at_key: bool = False) -> None:
        """Add a problem of an entry, which makes the entry wrong."""
        self.wrong.add(name)
        self.problems.add(node or self.nodes[name], f"space.{name}", message, at_key=at_key)
