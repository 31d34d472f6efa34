"""`trackers:`, who is told what a search does: kinds and own classes by name, or mappings with their options."""

from __future__ import annotations

from dataclasses import replace

from tuner.config.messages import Problems
from tuner.config.schema.trackers import TRACKER_KINDS, PythonTracker, TrackerSection
from tuner.config.sections import build, read_kind
from tuner.space.document import Located, located, show

NAME = "trackers"
MAX_TRACKERS = 8


def read_trackers(root: Located, problems: Problems) -> tuple[TrackerSection, ...]:
    """The trackers in the order of the file; one of a kind, so that a name says which."""
    node = root.items.get(NAME)
    if node is None or node.value is None or node.value == "off":
        return ()
    items = node.value if isinstance(node.value, tuple) else (node,)
    if len(items) > MAX_TRACKERS:
        problems.add(node, NAME, f"expected at most {MAX_TRACKERS}, got {len(items)}")
        return ()
    found: list[TrackerSection] = []
    for index, item in enumerate(items):
        path = f"{NAME}.{index}" if isinstance(node.value, tuple) else NAME
        section = _read(item, path, problems)
        if section is None:
            continue
        if label(section) in map(label, found):
            problems.add(item, path, f"{label(section)} is there already; give it all of its options once")
        else:
            found.append(section)
    return tuple(found)


def _read(item: Located, path: str, problems: Problems) -> TrackerSection | None:
    if isinstance(item.value, str) and ":" in item.value:
        python = located("python", item.mark, item.mark)
        item = replace(item, value={"kind": python, "target": replace(item, key=None)})
    elif isinstance(item.value, str):
        item = replace(item, value={"kind": replace(item, key=None)})
    if not isinstance(item.value, dict):
        problems.add(item, path, f"expected a kind such as tensorboard, or a mapping; got {show(item.plain())}")
        return None
    kind = read_kind(NAME, item, problems)
    section = build(path, TRACKER_KINDS[kind], item, problems) if kind else None
    if isinstance(section, PythonTracker) and ":" not in section.target:
        problems.add(item.items["target"], f"{path}.target", f"expected file.py:Class, got {show(section.target)}")
        return None
    return section if isinstance(section, TrackerSection) else None


def label(section: TrackerSection) -> str:
    """What a tracker is called in messages, and by `tuner sync`: its kind, or the target of the user's own."""
    return section.target if isinstance(section, PythonTracker) else section.kind
