"""`prior:` of an entry of `space:`: where its user expects the best value."""

from __future__ import annotations

import math
from typing import cast

from tuner.config.base_params import nearest
from tuner.config.messages import Problems, unknown_key
from tuner.space.document import Located, show
from tuner.space.parameters import Belief, Choices, Confidence, Domain, label_of

CONFIDENCES = ("low", "medium", "high")
KEYS = ("center", "confidence")


def read_belief(name: str, node: Located, domain: Domain, problems: Problems) -> Belief | None:
    """The belief of an entry with this domain; None without one, and after a problem."""
    prior = node.items.get("prior")
    if prior is None:
        return None
    path, before = f"space.{name}.prior", len(problems)
    if not isinstance(prior.value, dict):
        problems.add(prior, path, f"expected {{center: VALUE, confidence: medium}}, got {show(prior.plain())}")
        return None
    for key, item in prior.items.items():
        if key not in KEYS:
            problems.add(item, f"{path}.{key}", unknown_key(key, KEYS), at_key=True)
    center = prior.items.get("center")
    if center is None:
        problems.add(prior, path, "center is missing: the value that you expect to be best")
    else:
        _check_center(f"{path}.center", center, domain, problems)
    confidence = prior.items.get("confidence")
    if confidence is not None and confidence.value not in CONFIDENCES:
        expected = " or ".join(CONFIDENCES)
        problems.add(confidence, f"{path}.confidence", f"expected {expected}, got {show(confidence.plain())}")
    if len(problems) > before or center is None:
        return None
    chosen = confidence.value if confidence is not None else "medium"
    value = center.plain()
    at = label_of(value) if isinstance(domain, Choices) else nearest(domain, float(value))  # a grid has no others
    return Belief(center=at, confidence=cast("Confidence", chosen))


def _check_center(path: str, node: Located, domain: Domain, problems: Problems) -> None:
    value = node.plain()
    if isinstance(domain, Choices):
        if label_of(value) not in domain.labels:
            problems.add(node, path, f"{show(value)} is not one of the choices {show(list(domain.values))}")
        return
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not domain.low <= value <= domain.high:
        problems.add(node, path, f"expected a number from {domain.low} to {domain.high}, got {show(value)}")
