"""What is input and what is target in one item of a user's dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TARGET_KEYS = ("y", "target", "label", "labels")
PAIR = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What the keys of items that are dicts mean."""

    target: str | None = None
    """None for the one of TARGET_KEYS."""
    inputs: tuple[str, ...] = ()
    """Empty for all but the target."""

    def pair(self, item: Any) -> tuple[Any, Any]:
        """Input and target; None for no target, a mapping for several inputs. ValueError for what is no item."""
        if isinstance(item, Mapping):
            return self._pair_of_mapping(item)
        if isinstance(item, (tuple, list)):
            if len(item) not in (1, PAIR):
                raise ValueError(
                    f"an item is {type(item).__name__} of {len(item)}; expected (x, y), or a dict whose keys name"
                    f" the inputs and one of {', '.join(TARGET_KEYS)}"
                )
            x, y = item[0], item[1] if len(item) == PAIR else None
        else:
            x, y = item, None
        if x is None:
            raise ValueError("the input is None; expected numbers, a tensor, an array or an image")
        return (self._chosen(x), y) if isinstance(x, Mapping) else (x, y)

    def _pair_of_mapping(self, item: Mapping[Any, Any]) -> tuple[Any, Any]:
        found = [key for key in TARGET_KEYS if key in item and key not in self.inputs]
        if self.target is None and len(found) > 1:
            raise ValueError(f"a dict with {' and '.join(found)}; say in data.target_key which is the target")
        target = found[0] if self.target is None and found else self.target
        if self.target is not None and self.target not in item:
            raise ValueError(
                f"a dict without {self.target!r}, which data.target_key names; its keys are {_listed(item)}"
            )
        x = self._chosen({key: value for key, value in item.items() if key != target})
        return x, None if target is None else item[target]

    def _chosen(self, inputs: Mapping[Any, Any]) -> Any:
        names = self.inputs or tuple(inputs)
        missing = [name for name in names if name not in inputs]
        if missing:
            raise ValueError(
                f"a dict without {missing[0]!r}, which data.input_keys names; its keys are {_listed(inputs)}"
            )
        if not names:
            raise ValueError("a dict without an input")
        return inputs[names[0]] if len(names) == 1 else {str(name): inputs[name] for name in names}


def _listed(item: Mapping[Any, Any]) -> str:
    return ", ".join(map(str, item)) or "none"
