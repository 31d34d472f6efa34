"""tuner predict."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tuner.cli import options


@click.command(
    epilog="\b\nExamples:\n"
    "  tuner predict exports/fashion-3 photos/ shoe.png\n"
    "  tuner predict exports/adult-7 new.csv --out predictions.csv\n"
    "  tuner predict exports/sst2-4/model.onnx sentences.txt --json\n"
    "  echo 'a warm and lovely film' | tuner predict exports/sst2-4 -"
)
@click.argument("export", type=click.Path(path_type=Path))
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help=".csv, .tsv, .json, .jsonl or .npz.")
@click.option("--array", metavar="NAME", help="Which array of several; default: the trained one's name.")
@click.option("--allow-code", is_flag=True, help="Run the code that the export carries, or that its config names.")
@options.as_json
def command(
    export: Path, inputs: tuple[str, ...], out: Path | None, array: str | None, allow_code: bool, as_json: bool
) -> None:
    """Predict files with an export, as the evaluation of the training did.

    EXPORT is the folder that `tuner best` wrote, or a .safetensors, .onnx or .pt2 file of it. INPUT is what the model
    was trained on: images or folders of them, tables, texts (a line each), sounds, series, or arrays; - is the
    standard input. Without --out predictions are printed as csv, or as JSON.
    """
    from tuner.workflows.predict import PredictRequest, predict_to_file, predict_to_stream

    request = PredictRequest(export=export, inputs=inputs, array=array, allow_code=allow_code)
    if out is None:
        predict_to_stream(request, sys.stdout.buffer, as_json=as_json)
        return
    found = predict_to_file(request, out)
    if as_json:
        options.print_json(found.to_json())
    else:
        click.echo(f"{found.n_rows} prediction{'s' * (found.n_rows != 1)} written to {found.path}")
