"""The plain facts at the end: the top trials, the space as the file has it, the machine, and how to do it again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tuner.report.blocks import (
    Block,
    Bullets,
    Cell,
    Code,
    Fold,
    Listing,
    Paragraph,
    Section,
    Strong,
    Table,
    Text,
    Trial,
    coded,
    prose,
)
from tuner.report.facts import Facts
from tuner.report.text import NONE, duration, measure, moment, number, plural, scalar
from tuner.study.rows import TrialRow

N_TOP = 10
MAX_LISTED = 1000
WIDTH = 100


def top(facts: Facts) -> Section:
    """The best trials, and all of them where it is opened."""
    known = [trial for trial in facts.trials if facts.reached(trial.number) is not None]
    order = sorted(known, key=lambda trial: (not trial.can_be_best, *_key(facts, trial), trial.number))
    names = [
        parameter.name
        for parameter in facts.spec.space.parameters
        if any(parameter.name in trial.params for trial in order)
    ]
    blocks: list[Block] = [_table(facts, order[:N_TOP], names)]
    rest = sorted(facts.trials, key=lambda trial: trial.number)[:MAX_LISTED]
    if len(facts.trials) > len(order[:N_TOP]):
        what = (
            f"All {plural(len(facts.trials), 'trial')}" if len(rest) == len(facts.trials) else f"The first {len(rest)}"
        )
        blocks.append(Fold(f"{what} in the order of their numbers", (_table(facts, rest, names),)))
    return Section("trials", "Top trials", tuple(blocks))


def _key(facts: Facts, trial: TrialRow) -> tuple[float, ...]:
    if facts.is_multi:
        return (float(not trial.is_on_front), facts.sign * (facts.reached(trial.number) or 0.0))
    return (facts.sign * (facts.reached(trial.number) or 0.0),)


def _table(facts: Facts, trials: list[TrialRow], names: list[str]) -> Table:
    objectives = [objective.name for objective in facts.study.objectives]
    several = bool(objectives)
    header = ("trial", "state", *(objectives or [facts.metric]), "epochs", "time", *names)
    rows: list[tuple[Cell, ...]] = []
    for trial in trials:
        values = (
            [measure(name, (trial.values or {}).get(name)) for name in objectives]
            if several
            else [number(facts.reached(trial.number))]
        )
        state = trial.state.value + (f" ({trial.reason})" if trial.reason and trial.reason != trial.state.value else "")
        params = [scalar(trial.params[name]) if name in trial.params else NONE for name in names]
        rows.append((Trial(trial.number), state, *values, str(trial.epochs), duration(trial.seconds), *params))
    numeric = frozenset(range(2, len(header)))
    winner = facts.winner.number if facts.winner else None
    marked = frozenset(index for index, trial in enumerate(trials) if trial.number == winner)
    return Table(header, rows, numeric=numeric, marked=marked, is_compact=True)


def space(facts: Facts) -> Section:
    document = dict(facts.spec.document)
    source = f"{Path(facts.spec.file).name}, as the study has it" if facts.spec.file else "As the study has it"
    varied = plural(len(facts.spec.space.parameters), "parameter")
    text = (f"{source}: {varied} vary. A file with this content starts the same study.",)
    return Section("space", "The space", (Paragraph(text), Listing(as_yaml(document), "yaml")))


def as_yaml(document: Mapping[str, Any]) -> str:
    """A space file: one line an entry where that fits, as people write them."""
    lines: list[str] = []
    for key, value in document.items():
        line = f"{key}: {_flow(value)}"
        if isinstance(value, dict) and value and (len(line) > WIDTH or key == "space"):
            lines.append(f"{key}:")
            lines += [f"  {name}: {_flow(item)}" for name, item in value.items()]
        else:
            lines.append(line)
    return "\n".join(lines)


def _flow(value: Any) -> str:
    """A value in one line; what YAML 1.1 would read as something else is quoted, as the reader takes that too."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def environment(facts: Facts) -> Section:
    rows: list[tuple[Cell, ...]] = []
    data = facts.data
    if data.task != "none":
        sizes = f"{data.n_train} / {data.n_val} / {data.n_test} (training / validation / test)"
        rows.append(("data", f"{data.kind}, {data.task}; rows {sizes}"))
        rows.append(("fingerprint of the data", Code(data.fingerprint[:16])))
    for session in facts.history.sessions:
        machine = session.machine.get("processor", "")
        text = ", ".join(filter(None, [session.host, machine, moment(session.started_at), duration(session.seconds)]))
        rows.append((f"session {session.session}", text))
    devices = sorted({f"{course.device}, {plural(course.threads, 'thread')}" for course in facts.history.attempts})
    rows.append(("devices", "; ".join(devices) or NONE))
    rows.append(("versions", ", ".join(f"{name} {version}" for name, version in facts.versions.items())))
    rows += [("code", f"{target}: sha256 {digest[:16]}") for target, digest in facts.code.items()]
    rows.append(("seed", str(facts.spec.seed)))
    blocks: list[Block] = [Table(("what", "which"), rows)]
    if facts.explained:
        lines: tuple[Text, ...] = tuple(coded(line) for line in facts.explained)
        blocks += [Paragraph((Strong("What the search decided by itself"),)), Bullets(lines)]
    return Section("environment", "Environment", tuple(blocks))


def again(facts: Facts) -> Section:
    """The commands that do it again, and what is promised of each."""
    of = facts.options
    items: list[Text] = []
    if facts.winner is not None:
        winner = facts.winner.number
        same = prose(
            Code(f"tuner reproduce {winner} {of}"),
            " trains the winner again from its stored seed, and compares every number: on the CPU, with the processor "
            "and versions above, to the bit.",
        )
        items.append(same)
        items.append((Code(f"tuner best {of}"), " exports its weights, after evaluating them again."))
        items.append((Code(f"tuner show {winner} --json {of}"), " has its whole configuration."))
    search = prose(
        Code(f"tuner search --space FILE {of}"),
        ", with the file above, goes on with this study; with another name it repeats it. Two workers may try trials "
        "in another order; ",
        Code("--workers 1"),
        " repeats them as they were.",
    )
    items.append(search)
    return Section("again", "To do it again", (Bullets(tuple(items)),))
