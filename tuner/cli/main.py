"""The `tuner` command.

A command's module is imported when the command is used: `tuner --help` loads neither torch nor optuna.
"""

from __future__ import annotations

import gc
import json
import signal
import sys
from importlib import import_module, metadata
from types import FrameType
from typing import Any

import click

from tuner.errors import StorageError, TunerError, UsageError

COMMANDS: dict[str, str] = {
    "search": "Run a search, or go on with one.",
    "best": "Export the best trial, after re-evaluating its weights.",
    "predict": "Predict images, tables, texts or arrays with an export.",
    "confirm": "Train the best trials again on fresh seeds.",
    "reproduce": "Train a trial again from what is stored, and compare.",
    "studies": "List the studies of a database.",
    "status": "Show where a study stands.",
    "trials": "List the trials of a study.",
    "show": "Show one trial: config, curve, attempts.",
    "logs": "Print the log of one trial.",
    "check": "Validate a space file and try its ends; nothing is searched.",
    "data": "Look at the data of a space file.",
    "plan": "Forecast the time and memory of a search.",
    "report": "Write the report of a study as one HTML page, or as Markdown.",
    "compare": "Compare studies: spaces, samplers, best over budget.",
    "sync": "Send a study to a tracker: TensorBoard, MLflow ...",
    "dashboard": "Serve optuna-dashboard on this machine.",
    "app": "Try an export in the browser, or over HTTP.",
    "init": "Write a space file to begin with.",
    "doctor": "Look at the installation, the devices and the database.",
    "schema": "Print the JSON Schema of space files, for editors.",
    "completion": "Print what makes your shell complete all this.",
}
"""Every command and its line in `tuner --help`; command `x` lives in `tuner.cli.x`, as `command`."""


class LazyGroup(click.Group):
    """A group whose commands are imported one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"tuner.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            from tuner.config.messages import suggestion

            raise click.UsageError(f"unknown command {name!r}{suggestion(name, COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


INTERRUPTED = "interrupted; nothing is lost: the same command goes on"


class _TerminatedError(BaseException):
    """SIGTERM came while no search was running."""


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise _TerminatedError


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"tuner {metadata.version('tuner')}")
        ctx.exit()


FIRST_STEPS = """\b
First steps:
  tuner init people.csv                 looks at your data, writes people.yaml
  tuner search --space people.yaml      the same command goes on after Ctrl-C
  tuner best                            exports the winner
  tuner search --space mlp.yaml         without data of yours: digits that are shipped
`tuner COMMAND --help` has examples of each; `tuner doctor` says whether all is well here.
"""


@click.group(cls=LazyGroup, epilog=FIRST_STEPS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def cli() -> None:
    """Find the best hyperparameters of a PyTorch model.

    One YAML file says what is trained and what varies in it; `tuner init` writes it for your data. A search loses
    nothing: an interrupted one goes on with the same command.
    """


def main() -> None:
    """Run the command line and exit with the code of CONTRACT: see `tuner.errors`."""
    as_json = "--json" in sys.argv
    signal.signal(signal.SIGTERM, _terminate)  # until the driver's own handler takes over
    try:
        code = cli.main(standalone_mode=False, prog_name="tuner")
    except TunerError as error:
        _show(error, as_json=as_json)
        code = error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else str(error))
        code = UsageError.exit_code
    except click.ClickException as error:
        if as_json:
            _show(UsageError(error.format_message()), as_json=True)
        else:
            error.show()
        code = error.exit_code
    except _TerminatedError:
        click.echo(INTERRUPTED, err=True)
        code = 128 + signal.SIGTERM
    except (KeyboardInterrupt, click.Abort):
        click.echo(INTERRUPTED, err=True)
        code = 128 + signal.SIGINT
    except OSError as error:  # the process edge: a full disk, a folder that cannot be written
        storage_error = StorageError(f"{error.filename or 'disk'}: {error.strerror or error}")
        _show(storage_error, as_json=as_json)
        code = storage_error.exit_code
    _leave_no_server()
    if "triton" not in sys.modules:  # whose binding tells of every object that is left at the end
        gc.freeze()  # else Python's last collection walks through Optuna and SQLAlchemy: 0.26 s after a search
    sys.exit(code if isinstance(code, int) else 0)


def _leave_no_server() -> None:
    """End the process that workers are forked from: by itself it takes 0.5 s, and holds our standard output as long."""
    forkserver = sys.modules.get("tuner.execution.forkserver")
    if forkserver is not None:
        forkserver.cancel()


def _show(error: TunerError, *, as_json: bool) -> None:
    if not as_json:
        click.echo(f"error: {error.message}" if not error.where else error.message, err=True)
        return
    where: list[dict[str, Any]] = [
        {"file": place.file, "line": place.line, "column": place.column, "path": place.path, "message": place.message}
        for place in error.where
    ]
    click.echo(json.dumps({"error": {"kind": error.kind, "message": error.message, "where": where}}))
