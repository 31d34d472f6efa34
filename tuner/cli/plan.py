"""tuner plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from tuner.cli import options
from tuner.cli.tables import duration, render, scalar, size

if TYPE_CHECKING:
    from tuner.control.rehearsal import Range
    from tuner.workflows.forecast import Forecast

BUSY_SHARE = 0.1
"""From which it is worth saying that others use the machine."""


EXAMPLES = """\b
Examples:
  tuner plan --space mlp.yaml
  tuner plan --space mlp.yaml --trials 200 --workers 2
"""


@click.command(epilog=EXAMPLES)
@options.space
@options.budget
@options.sets
@options.study
@options.storage
@options.as_json
def command(space: str, sets: tuple[str, ...], storage: str, as_json: bool, **given: str | None) -> None:
    """Forecast the time and memory that a search will take; nothing is searched.

    A few training steps at the corners of the space and at random points of it, then the search is played through with
    its own rules. A search that is started after it says at its end how long was planned, and how long it took.
    """
    from tuner.execution import forkserver

    forkserver.begin()

    from tuner.workflows.plan import PlanRequest, plan

    names, texts = options.overrides_of(given)
    forecast = plan(PlanRequest(space=space, storage=storage, sets=(*sets, *texts), overrides=names))
    if as_json:
        options.print_json(forecast.to_json())
    else:
        click.echo(text_of(forecast))


def text_of(forecast: Forecast) -> str:
    """A table of lows and highs, and what cannot be trained."""
    workers = f"{forecast.workers} worker{'s' * (forecast.workers > 1)} on {', '.join(forecast.devices)}"
    threads = f"{forecast.threads} thread{'s' * (forecast.threads > 1)} each"
    lanes = f", up to {forecast.lanes} lanes" if forecast.lanes > 1 else ""
    done = f"; {forecast.n_finished} trials are done, this is about the rest" if forecast.n_finished else ""
    lines = [f"plan for {forecast.study}: {workers}, {threads}{lanes}{done}", ""]
    lines.append(render(["", "low", "high", ""], _rows(forecast)))
    if forecast.busy_share >= BUSY_SHARE:
        lines.append(f"other processes had the cores for {forecast.busy_share:.0%} of the time that this was measured")
    lines += [
        f"cannot be trained: {' '.join(f'{name}={scalar(value)}' for name, value in item.params.items())}\n"
        f"  {item.problem}"
        for item in forecast.problems[:3]
    ]
    return "\n".join(lines)


def _rows(forecast: Forecast) -> list[list[str]]:
    limit = f"; at most {duration(forecast.timeout_s)}" if forecast.timeout_s is not None else ""
    start = f"and {duration(forecast.start_s)} to load torch and the data{limit}"
    rows = [["wall time", *_both(forecast.seconds, duration), start]]
    if forecast.confirm_s is not None:
        rows.append(["  confirming", *_both(forecast.confirm_s, duration), "of it: the best on other seeds"])
    rows.append(["trials", *_both(forecast.trials, _count), ""])
    rows.append(["epochs", *_both(forecast.epochs, _count), f"{_count(forecast.full_epochs)} if no trial is stopped"])
    rows.append(["an epoch", *_both(forecast.epoch_s, _short), f"at {forecast.n_probes} points of the space"])
    rows.append(["weights", *_both(forecast.n_params, _count), ""])
    if forecast.memory_bytes is not None and forecast.total_bytes is not None:
        rows.append(["memory", *_both(forecast.memory_bytes, size), "a worker"])
        free = f"in all; {size(forecast.free_bytes)} are free" if forecast.free_bytes is not None else "in all"
        rows.append(["", *_both(forecast.total_bytes, size), free])
    if forecast.gpu_bytes is not None:
        rows.append(["GPU memory", *_both(forecast.gpu_bytes, size), "a worker"])
    rows.append(["infeasible", *_both(forecast.infeasible, lambda share: f"{share:.0%}"), "of the space"])
    return rows


def _both(found: Range, show: Callable[[float], str]) -> list[str]:
    return [show(found.low), show(found.high)]


def _count(value: float) -> str:
    return f"{value:.0f}"


def _short(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else duration(seconds)
