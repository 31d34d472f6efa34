"""Everything that a user can cause, as one tree of exceptions.

    TunerError                 base; carries an exit code, a kind and the places it concerns
    ├── UsageError         2   wrong options on the command line
    ├── ConfigError        2   the space file: all of its problems at once, each with its place
    ├── DataError          2   the data cannot be trained on (labels, shapes, empty splits, missing columns)
    │   └── RowError           one row of what is to be predicted
    ├── ChangedError       2   space, data or code changed since the study was started
    ├── NotFoundError      3   a study, a trial, a file or a data set that is not there
    ├── MissingError       5   a device, an extra or a package is missing
    ├── StorageError      74   the database or the disk cannot be used
    ├── OwnedError        75   another running driver owns the study
    ├── NoTrialError       1   no trial completed
    ├── SearchFailedError  1   every trial fails with the same cause
    ├── ExportError        1   the model cannot be written in a format
    └── VerificationError  1   stored and re-evaluated numbers differ

A user never sees a traceback for any of these: the command line prints `str(error)` and exits with `exit_code`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One located problem: `file:line:column: path: message`.

    Line and column count from 1; 0 means that there is no such place (a value from Python, say).
    """

    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    path: str = ""

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        return ": ".join(part for part in (where, self.path, self.message) if part)


class TunerError(Exception):
    """Base of all errors that a user can cause."""

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "error"

    def __init__(self, message: str, where: Sequence[Place] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.where = tuple(where)

    def __reduce__(self) -> tuple[type[TunerError], tuple[Any, ...]]:
        return type(self), (self.message, self.where)


class UsageError(TunerError):
    """Wrong options on the command line, or wrong arguments of a call."""

    exit_code = 2
    kind = "usage"


class ConfigError(TunerError):
    """All problems of a space file at once."""

    exit_code = 2
    kind = "config"

    def __init__(self, message: str, where: Sequence[Place] = ()) -> None:
        super().__init__(message, where)

    @classmethod
    def of(cls, places: Sequence[Place]) -> ConfigError:
        return cls("\n".join(str(place) for place in places), places)


class DataError(TunerError):
    """Data that cannot be trained on: labels, shapes, empty splits, missing columns."""

    exit_code = 2
    kind = "data"


class RowError(DataError):
    """A row that cannot be predicted; whoever read it from a file knows its place there."""

    def __init__(self, row: int, problem: str) -> None:
        super().__init__(f"input: row {row}: {problem}")
        self.row = row
        self.problem = problem

    def __reduce__(self) -> tuple[type[TunerError], tuple[Any, ...]]:
        return type(self), (self.row, self.problem)


class ChangedError(TunerError):
    """Space, data or code changed since the study was started."""

    exit_code = 2
    kind = "changed"


class NotFoundError(TunerError):
    """A study, a trial, a file or a data set that is not there."""

    exit_code = 3
    kind = "not_found"


class MissingError(TunerError):
    """A device, an extra or a package is missing."""

    exit_code = 5
    kind = "environment"


class StorageError(TunerError):
    """The database or the disk cannot be used."""

    exit_code = 74
    kind = "storage"


class OwnedError(TunerError):
    """Another running driver owns the study."""

    exit_code = 75
    kind = "owned"


class NoTrialError(TunerError):
    """No trial completed, so that there is no best one."""

    exit_code = 1
    kind = "no_trial"


class SearchFailedError(TunerError):
    """Every trial fails with the same cause."""

    exit_code = 1
    kind = "search_failed"


class ExportError(TunerError):
    exit_code = 1
    kind = "export"


class VerificationError(TunerError):
    """Stored and evaluated numbers differ, or a file is not the one that was stored."""

    exit_code = 1
    kind = "verification"
