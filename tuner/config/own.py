"""Own training code, `train: {kind: python}`: what its space file may leave out, and what it must say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tuner.config.messages import Problems
from tuner.config.metrics import COSTS
from tuner.config.schema import OPTIONAL_SECTIONS, Objective
from tuner.space.document import Located, show

RESERVED = ("objective", "train", "options", "seed", "device", "epochs", "folder", "trial")
"""Keys of the function's config besides the sections of the file and the options themselves."""


def trains(root: Located) -> bool:
    """Whether a document says that the user's own code trains."""
    train = root.items.get("train")
    kind = train.items.get("kind") if train else None
    return kind is not None and kind.value == "python"


def sections_left_out(root: Located) -> frozenset[str]:
    """The sections that are not there, and need not be."""
    if not trains(root):
        return frozenset()
    nodes = {name: root.items.get(name) for name in OPTIONAL_SECTIONS}
    return frozenset(name for name, node in nodes.items() if node is None or node.value is None)


def left_out(name: str) -> str:
    """What to say about a parameter whose section is left out."""
    section, _, rest = name.partition(".")
    return (
        f"there is no section {section} that it could vary: own training code gets what is in the file; "
        f"name it train.options.{rest.rpartition('.')[2] or section}, or add the section"
    )


def read_objective(root: Located, node: Located, objective: Objective, problems: Problems) -> Objective | None:
    """An objective of the user's own measuring: any name, with its direction."""
    before = len(problems)
    metric, name = node.items.get("metric"), objective.metric.removeprefix("val/")
    train = root.items["train"].items["kind"]
    if node is root or metric is None:
        message = "missing; own training code has its own metrics: add objective: {metric: NAME, direction: maximize}"
        problems.add(node if node is not root else train, "objective.metric", message, at_key=node is not root)
    elif not name or "/" in name:
        problems.add(metric, "objective.metric", f"expected a name without a slash, or val/NAME; got {show(name)}")
    elif name in COSTS:
        message = (
            f"{name} is a cost that tuner measures, which it cannot of own training code; name your metric otherwise"
        )
        problems.add(metric, "objective.metric", message)
    elif objective.direction is None:
        message = f"missing; which way {name} is better only your code knows: add direction: maximize, or minimize"
        problems.add(node, "objective.direction", message, at_key=True)
    return objective.model_copy(update={"metric": name}) if len(problems) == before else None


def check(root: Located, sections: Iterable[str], problems: Problems) -> None:
    """Options that the function could not tell from what else is in its config, and lanes, which it cannot have."""
    if not trains(root):
        return
    taken = {*RESERVED, *sections}
    for name, path, node in _options(root):
        if name in taken:
            message = f"{name!r} is taken: config[{name!r}] is {_meaning(name)}; choose another name"
            problems.add(node, path, message, at_key=True)
    search = root.items.get("search")
    lanes = search.items.get("lanes") if search else None
    if lanes is not None and lanes.value not in (None, 1, "auto"):
        problems.add(lanes, "search.lanes", "own training code trains one trial at a time; leave lanes out")


def _options(root: Located) -> Iterator[tuple[str, str, Located]]:
    options, space = root.items["train"].items.get("options"), root.items.get("space")
    for name, node in (options.items if options else {}).items():
        yield name, f"train.options.{name}", node
    for path, node in (space.items if space else {}).items():
        if path.startswith("train.options."):
            yield path.split(".")[2], f"space.{path}", node


def _meaning(name: str) -> str:
    meanings = {
        "seed": "the trial's own seed",
        "epochs": "train.epochs",
        "device": "where the trial trains",
        "folder": "the trial's folder",
        "trial": "the trial's number",
        "options": "all options",
    }
    return meanings.get(name, f"the section {name}")
