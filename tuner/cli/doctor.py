"""tuner doctor."""

from __future__ import annotations

import click

from tuner.cli import options


@click.command()
@options.storage
@options.as_json
def command(storage: str, as_json: bool) -> int:
    """Look at the installation, the devices, the data sets on disk and the database.

    Says what to do about each finding.
    """
    from tuner.workflows.doctor import examine

    findings = examine(storage)
    if as_json:
        options.print_json([finding.to_json() for finding in findings])
    else:
        for finding in findings:
            click.echo(f"{'ok  ' if finding.is_ok else 'FAIL'}  {finding.name}: {finding.text}")
    return 0 if all(finding.is_ok for finding in findings) else 1
