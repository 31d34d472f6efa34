"""tuner best."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tuner.cli import options
from tuner.cli.classes import details_text
from tuner.cli.tables import named, number, spread

if TYPE_CHECKING:
    from tuner.workflows.best import Export


@click.command(
    epilog="\b\nExamples:\n  tuner best\n  tuner best --study mlp --trial 12 --out models/mlp\n"
    "  tuner best --format safetensors,onnx,pt2"
)
@click.option(
    "--pick",
    "rule",
    metavar="RULE",
    help="Of several objectives: knee of the front (default), weights (accuracy=0.7,params=0.3), or front for all.",
)
@click.option("--trial", type=int, metavar="N", help="Another trial than the best one.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder; default: exports/<study>-<trial>.")
@click.option(
    "--format",
    "formats",
    metavar="NAMES",
    default="pt",
    show_default=True,
    help="Formats beside the weights, model.pt: safetensors, onnx, pt2; several with commas.",
)
@options.study
@options.storage
@options.as_json
def command(
    rule: str | None,
    trial: int | None,
    out: Path | None,
    formats: str,
    study: str | None,
    storage: str,
    as_json: bool,
) -> None:
    """Export the best trial, after re-evaluating its weights.

    The best trial is the one that fresh seeds confirmed, before that the one with the best value. The stored weights
    are loaded and evaluated on the validation part; nothing is exported unless that gives the stored value. Only here
    are they evaluated on the test part, and once: the score is kept.

    Every format is loaded again and compared with the weights on rows of the validation part before it is kept.
    """
    from tuner.workflows.best import best, best_front
    from tuner.workflows.sync import tell_exports

    names = [name.strip() for name in formats.split(",")]
    if rule == "front" and trial is None:
        exports = best_front(storage=storage, study=study, out=out, formats=names)
        _say(tell_exports(storage, exports))
        if as_json:
            options.print_json([export.to_json() for export in exports])
        else:
            click.echo("\n\n".join(map(text_of, exports)))
        return
    export = best(storage=storage, study=study, trial=trial, out=out, rule=rule, formats=names)
    _say(tell_exports(storage, [export]))
    if as_json:
        options.print_json(export.to_json())
    else:
        click.echo(text_of(export))


def _say(lines: list[str]) -> None:
    """On stderr: what a tracker says of an export is not part of it."""
    for line in lines:
        click.echo(line, err=True)


def _reevaluated(export: Export) -> str:
    if export.reevaluated is None:
        return "as your own code measured it: tuner cannot evaluate it again"
    return f"re-evaluated {number(export.reevaluated)}"


def _expectation(export: Export) -> list[str]:
    bundle = export.bundle
    if bundle.confirmed is None:
        return []
    mean, std, seeds = (bundle.confirmed[name] for name in ("mean", "std", "seeds"))
    return [f"expect {bundle.metric} {number(mean)}{spread(std, seeds)} ({seeds} fresh seed{'s' * (seeds > 1)})"]


def _last_part(export: Export) -> list[tuple[str, Mapping[str, Any]]]:
    """The details of the test part, or of the validation part where there is none."""
    found = export.bundle.details
    return [(part, found[part]) for part in ("test", "val") if part in found][:1]


def text_of(export: Export) -> str:
    bundle = export.bundle
    run = f", fresh seed {export.repeat}" if export.repeat else ""
    lines = [
        (
            f"trial {bundle.trial} of {bundle.study}{run}, epoch {bundle.epoch}: {bundle.metric} "
            f"{number(bundle.value)}, {_reevaluated(export)}"
        ),
        *([f"picked: {export.picked}", f"  {named(bundle.objectives)}"] if bundle.objectives else []),
        *_expectation(export),
        *(
            f"  {name} {number(value)}"
            for name, value in bundle.metrics.items()
            if name.startswith("test/") and value is not None
        ),
        *(
            f"  guessing the {way}: {name} {number(value)}"
            for way, errors in bundle.data.baselines.items()
            for name, value in errors.items()
            if name in bundle.metrics and name.startswith("test/")
        ),
        *(
            [f"  the test scores are those of {export.scored_before}: weights are scored once"]
            * bool(export.scored_before)
        ),
        *(f"\n{details_text(details, part)}\n" for part, details in _last_part(export)),
        f"exported to {export.path}: {', '.join(export.files)}",
        *(
            f"  {found['file']} is within {found['difference']:.1g} of the weights on {found['rows']} validation rows"
            for name, found in bundle.formats.items()
            if name != "pt"
        ),
    ]
    return "\n".join(lines)
