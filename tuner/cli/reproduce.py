"""tuner reproduce."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuner.cli import options
from tuner.cli.tables import number

if TYPE_CHECKING:
    from tuner.workflows.reproduce import Reproduction


@click.command(epilog="\b\nExamples:\n  tuner reproduce 12\n  tuner reproduce 12 --run 1")
@click.argument("trial", type=int)
@options.run
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0.0),
    metavar="T",
    help="Allowed where bits cannot be the same: a share of each metric's largest value; default: 0.05.",
)
@options.study
@options.storage
@options.as_json
def command(
    trial: int, repeat: int | None, tolerance: float | None, study: str | None, storage: str, as_json: bool
) -> int:
    """Train a trial again from what is stored, and compare each epoch with the stored curve.

    With the processor, versions and threads of then, on the CPU, every number has to be the same to the bit; elsewhere
    within the tolerance. Exits 1 when it is not. Nothing in the study changes.
    """
    from tuner.workflows.reproduce import TOLERANCE, reproduce

    found = reproduce(
        trial,
        storage=storage,
        study=study,
        repeat=repeat or 0,
        tolerance=TOLERANCE if tolerance is None else tolerance,
    )
    if as_json:
        options.print_json(found.to_json())
    else:
        click.echo(_text(found))
    return 0 if found.holds else 1


def _text(found: Reproduction) -> str:
    run = f", fresh seed {found.repeat}" if found.repeat else ""
    what = f"trial {found.trial} of {found.study}{run}, {found.n_epochs} epoch{'s' * (found.n_epochs != 1)}"
    lines = [f"{what}: {_verdict(found)}"]
    worst = found.worst
    if not found.is_identical and worst is not None:
        lines.append(
            f"  largest difference: {worst.metric} of epoch {worst.epoch}, stored {number(worst.stored)}, "
            f"now {number(worst.again)} ({worst.share:.2%} of its largest value)"
        )
    lines += [f"  {item.what}: {item.stored} then, {item.now} now" for item in found.environment]
    return "\n".join(lines)


def _verdict(found: Reproduction) -> str:
    if found.is_identical:
        return f"reproduced to the bit, all {len(found.numbers)} numbers"
    if found.n_missing:
        return f"NOT reproduced: it ended {found.n_missing} epochs earlier"
    if found.asks_for_bits:
        return "NOT reproduced: the set-up is the same, the bits are not"
    verdict = "reproduced" if found.holds else "NOT reproduced"
    return f"{verdict} within {found.tolerance:.0%}; the same bits are not expected here"
