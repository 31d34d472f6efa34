"""The parts of the screen, each a function of a state and a width."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from tuner.screen.lines import GAP, Column, Line, Part, Role, between, flow, pairs, table, whole_ones, wrapped
from tuner.screen.sparkline import sparkline
from tuner.screen.state import Candidate, Confirming, Phase, RunningTrial, SearchState, Work, Worker
from tuner.wording import cell, duration, number, scalar, size

BAR_WIDTH = 60
TIME_WIDTH = 11
"""Of `12 min 04 s`."""
LEFT_WIDTH = 22
"""Of `about 12 min 04 s left`."""
PARAMS_WIDTH = 24
"""With less room than this beside the other columns, params of running trials are left out."""
CURVE_WIDTHS = ((160, 40), (100, 28), (0, 20))
"""From which width on a curve may have how many characters."""
OBJECTIVE_WIDTHS = (9, 20)
MAX_OBJECTIVES = 3


# ----------------------------------------------------------------------------------------------------------- the search


def head(state: SearchState, width: int) -> list[Line]:
    """The study, how far it is, and the best or, while that is confirmed, the candidates."""
    wanted = ", ".join(f"{item.direction} {item.name}" for item in state.wanted)
    role = Role.DIM if state.phase is Phase.IDLE else Role.CURVE
    title = between((Part(state.study, Role.STRONG), Part(f"  {wanted}")), (Part(state.phase.value, role),), width)
    if state.confirming is not None:
        return [title, *_confirming(state, state.confirming, width)]
    return [
        title,
        _bar(state.work, "trials", width, is_running=state.phase is not Phase.IDLE),
        *_counts(state, width),
        *_best(state, width),
    ]


def _bar(work: Work, noun: str, width: int, *, is_running: bool) -> Line:
    """Fixed columns to the right of a bar that takes what is left."""
    total = "" if work.n_total is None else f"/{work.n_total}"
    count = f"{str(work.n_done).rjust(max(len(total) - 1, 2))}{total} {noun}"
    left = "" if work.left_s is None or not is_running else f"about {duration(work.left_s)} left"
    text = f"  {count}  {duration(work.elapsed_s).rjust(TIME_WIDTH)}  "
    room = max(4, min(BAR_WIDTH, width - len(text) - LEFT_WIDTH))
    done = round(room * _share(work))
    return (Part("━" * done, Role.DONE), Part("─" * (room - done), Role.DIM), Part(text + left))


def _share(work: Work) -> float:
    """Of the trials or of the time, whichever is nearer to its end."""
    shares = [0.0]
    if work.n_total:
        shares.append((work.n_done + work.under_way) / work.n_total)
    if work.limit_s:
        shares.append(work.elapsed_s / work.limit_s)
    return min(1.0, max(shares))


def _counts(state: SearchState, width: int) -> list[Line]:
    counts, digits = state.counts, max(2, len(str(state.work.n_total or state.work.n_done)))
    shown = [
        (counts.complete, "complete", Role.GOOD),
        (counts.pruned, "pruned", Role.PLAIN),
        (counts.paused, "paused", Role.PLAIN),
        (counts.failed, "failed", Role.BAD),
        (counts.running, "running", Role.PLAIN),
        *([(counts.waiting, "waiting", Role.PLAIN)] if counts.waiting else []),
    ]
    items = [Part(f"{count:>{digits}} {noun}", role if count else Role.DIM) for count, noun, role in shown]
    saved = state.saved_s + sum(state.paused.values())
    return flow([*items, *([Part(f"~{duration(saved)} saved", Role.GOOD)] if saved else [])], width)


def _best(state: SearchState, width: int) -> list[Line]:
    if state.n_front is not None:
        return _front(state, state.n_front, width)
    if state.best is None:
        return [(Part("no complete trial yet", Role.DIM),)]
    value = Part(number(state.best.value).ljust(9), Role.STRONG)
    left = (Part("best "), value, Part(f" trial {state.best.trial}".ljust(13)))
    if len(state.history) <= 1:  # one point is no curve
        return [left]
    caption = f"  {number(state.history[0])} to {number(state.history[-1])}"
    room = width - sum(len(part.text) for part in left) - len(caption)
    curve = sparkline(state.history, max(8, min(room, BAR_WIDTH)))
    return [(*left, Part(curve, Role.CURVE), *((Part(caption, Role.DIM),) if room >= len(curve) else ()))]


def _front(state: SearchState, n_front: int, width: int) -> list[Line]:
    front = Part(f"{n_front} trial{'s' * (n_front != 1)} on the front", Role.STRONG)
    if state.best is None:
        return [(front,)]
    values = [Part(f"{name} {cell(name, value)}") for name, value in state.best.values.items()]
    return flow([front, Part(f"trial {state.best.trial}"), *values], width)


def params(state: SearchState, width: int) -> list[Line]:
    """Those of the best trial, in as many columns as there is room for."""
    if state.best is None or state.confirming is not None:
        return []
    return pairs([(name, scalar(value)) for name, value in state.best.params.items()], width)


# ----------------------------------------------------------------------------------------------------------- confirming


def _confirming(state: SearchState, confirming: Confirming, width: int) -> list[Line]:
    """How far the runs are and what they have come to, after a line about the search."""
    n_over = state.counts.complete + state.counts.pruned + state.counts.failed
    best = f", best {number(state.best.value)} (trial {state.best.trial})" if state.best else ""
    columns = [
        Column(title="trial", width=6),
        Column(title="search", width=9),
        Column(title="mean", width=9, role=Role.STRONG),
        Column(title="on fresh seeds", width=width - 6 - 9 - 9 - 3 * GAP, is_left=True),
    ]
    rows = [_candidate(item, confirming.seeds, columns[-1].width) for item in confirming.candidates]
    return [
        _bar(confirming.work, "runs", width, is_running=state.phase is not Phase.IDLE),
        (Part(f"searched {n_over} trials in {duration(state.work.elapsed_s)}{best}", Role.DIM),),
        *table(columns, rows),
    ]


def _candidate(item: Candidate, seeds: int, width: int) -> list[str]:
    known = [value for value in item.values.values() if value is not None]
    is_whole = known and len(known) == len(item.values)  # what fails on a fresh seed cannot be relied on
    mean = number(sum(known) / len(known)) if is_whole else "-"
    texts = [_run(item.values, repeat) for repeat in range(1, seeds + 1)]
    return [str(item.trial), number(item.search_value), mean, whole_ones(texts, width, "  ")]


def _run(values: Mapping[int, float | None], repeat: int) -> str:
    if repeat not in values:
        return "..."
    value = values[repeat]
    return "failed" if value is None else number(value)


# ------------------------------------------------------------------------------------------------------ who is training


Cell = Callable[[RunningTrial], str]


def running(state: SearchState, width: int, n_rows: int) -> list[Line]:
    """The trials that train now: rung, epoch, objectives, curve, and params where there is room for some."""
    if not state.running:
        return []
    cells = _running_cells(state, width)
    shown, more = _first(len(state.running), n_rows)
    rows = [[text(item) for _, text in cells] for item in state.running[:shown]]
    return [*table([column for column, _ in cells], rows), *_and_more(more, "trials")]


def _running_cells(state: SearchState, width: int) -> list[tuple[Column, Cell]]:
    cells = _fixed_cells(state)
    for index, wanted in enumerate(state.wanted[:MAX_OBJECTIVES]):
        least, most = OBJECTIVE_WIDTHS
        column = Column(title=wanted.name, width=max(least, min(most, len(wanted.name))))
        if index and _room(width, cells) - column.width - GAP < CURVE_WIDTHS[-1][1]:
            break
        cells.append((column, partial(_value, wanted.name)))
    room = _room(width, cells)
    curve = min(room, next(most for least, most in CURVE_WIDTHS if width >= least))
    cells.append((Column(title="curve", width=curve, is_left=True, role=Role.CURVE), partial(_curve, curve)))
    rest = room - curve - GAP
    if rest >= PARAMS_WIDTH:
        cells.append((Column(title="params", width=rest, is_left=True), partial(_params_in, rest)))
    return cells


def _room(width: int, cells: Sequence[tuple[Column, Cell]]) -> int:
    """For one more column."""
    return width - sum(column.width + GAP for column, _ in cells)


def _fixed_cells(state: SearchState) -> list[tuple[Column, Cell]]:
    digits = max(len(str(item.last_epoch)) for item in state.running)
    epoch = Column(title="epoch", width=max(7, 2 * digits + 1))
    cells: list[tuple[Column, Cell]] = [(Column(title="trial", width=6), lambda item: str(item.trial))]
    if state.confirming is not None:
        cells.append((Column(title="seed", width=4), lambda item: str(item.repeat)))
    elif _has_rungs(state):
        cells.append((Column(title="rung", width=max(4, digits)), _rung))
    return [*cells, (epoch, lambda item: f"{item.epoch}/{item.last_epoch}")]


def _has_rungs(state: SearchState) -> bool:
    """Where trials have paused at a rung, or will."""
    return bool(state.paused) or any(0 < item.goal < item.last_epoch for item in state.running)


def _rung(item: RunningTrial) -> str:
    return str(item.goal) if 0 < item.goal < item.last_epoch else "-"


def _value(name: str, item: RunningTrial) -> str:
    return cell(name, item.metrics.get(name))


def _curve(width: int, item: RunningTrial) -> str:
    return sparkline(item.curve, width)


def _params_in(width: int, item: RunningTrial) -> str:
    return whole_ones([f"{name}={scalar(value)}" for name, value in item.params.items()], width, " ")


def workers(state: SearchState, width: int, n_rows: int) -> list[Line]:
    """The processes that train: device, memory, lanes and trials."""
    if not state.workers:
        return []
    columns = [
        Column(title="worker", width=6),
        Column(title="device", width=8, is_left=True),
        Column(title="memory", width=7),
        Column(title="lanes", width=5),
        Column(title="trials", width=width - 6 - 8 - 7 - 5 - 4 * GAP, is_left=True),
    ]
    shown, more = _first(len(state.workers), n_rows)
    rows = [_worker(item, columns[-1].width) for item in state.workers[:shown]]
    return [*table(columns, rows), *_and_more(more, "workers")]


def _worker(item: Worker, width: int) -> list[str]:
    memory = "-" if item.memory_bytes is None else size(item.memory_bytes)
    trials = whole_ones([str(trial) for trial in item.trials], width, " ")
    return [str(item.worker or "-"), item.device, memory, str(len(item.trials)), trials]


def _first(n_items: int, n_rows: int) -> tuple[int, int]:
    """How many are shown in so many rows, and how many there are besides, which takes a row."""
    return (n_items, 0) if n_items <= n_rows else (n_rows - 1, n_items - n_rows + 1)


def _and_more(count: int, noun: str) -> list[Line]:
    return [(Part(f"and {count} more {noun}", Role.DIM),)] if count else []


# ------------------------------------------------------------------------------------------------------ what went wrong


def failure(state: SearchState, width: int) -> list[Line]:
    """The last failure with the command that shows it; and why the search has ended, if it has."""
    lines: list[Line] = [(Part(line, Role.DIM),) for line in wrapped(state.stopped, width, 2)]
    if state.failure is None:
        return lines
    found = state.failure
    seed = f", fresh seed {found.repeat}" if found.repeat else ""
    said = f"trial {found.trial}{seed} {found.reason}: {found.message}"
    run = f" --run {found.repeat}" if found.repeat else ""
    command = f"tuner logs {found.trial}{run} --study {state.study}"
    return [
        *lines,
        *((Part(line, Role.BAD),) for line in wrapped(said, width, 2)),
        (Part("  see "), Part(command, Role.STRONG)),
    ]
