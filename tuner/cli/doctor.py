"""tuner doctor."""

from __future__ import annotations

import click

from tuner.cli import options


@click.command(epilog="\b\nExamples:\n  tuner doctor\n  tuner doctor --storage sqlite:///other.db --json")
@options.storage
@options.as_json
def command(storage: str, as_json: bool) -> int:
    """Look at the installation and its extras, the devices, the disk, and the database with its folder of runs.

    Says what to do about each finding; exits 1 when something is wrong. Nothing is changed.
    """
    from tuner.workflows.doctor import examine

    findings = examine(storage)
    if as_json:
        options.print_json([finding.to_json() for finding in findings])
    else:
        for finding in findings:
            click.echo(f"{finding.level:<4}  {finding.name}: {finding.text}")
            if finding.remedy:
                click.echo(f"      -> {finding.remedy}")
        wrong = sum(not finding.is_ok for finding in findings)
        click.echo(f"{wrong} to mend: see each FAIL" if wrong else "all is well; `tuner search` can start")
    return 0 if all(finding.is_ok for finding in findings) else 1
