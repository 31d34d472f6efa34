"""What a study was started with, and whether a space file is still that."""

from __future__ import annotations

from collections.abc import Mapping

from tuner.config.code import named
from tuner.config.spec import Spec
from tuner.data.info import DataInfo
from tuner.errors import ChangedError, NotFoundError
from tuner.study.queries import StudyReader
from tuner.study.store import StudyHeader
from tuner.workflows.placing import Earlier


def look_back(storage: str, spec: Spec) -> Earlier:
    """What the study has so far; a changed space is refused before the data is even looked at."""
    try:
        reader = StudyReader.open(storage)
        study = reader.study(spec.study)
    except NotFoundError:
        return Earlier()
    if not study.uid:  # half made, or another tool's: the store tells them apart
        return Earlier()
    refuse_changes(spec, Spec.from_json(reader.header(study)["spec"]))
    taken = int((study.taken or {}).get("trials", 0))  # they are besides the budget
    return Earlier(n_finished=reader.n_finished(study) - taken, threads=reader.threads(study))


def refuse_changes(spec: Spec, stored: Spec) -> None:
    differences = stored.differences(spec)
    if differences:
        raise ChangedError(
            f"{spec.file} is not what study {spec.study!r} was started with:\n"
            + "\n".join(f"  {line}" for line in differences)
            + "\nundo the change, or start another study with --study NAME; "
            + f"with --study NAME --from {spec.study} it takes over the trials that are still inside the space"
        )


def refuse_other_code(spec: Spec, header: StudyHeader, code: Mapping[str, str]) -> None:
    changed = [target for target, digest in code.items() if header.code.get(target, digest) != digest]
    if changed:
        raise ChangedError(
            f"{named(changed)} changed since study {spec.study!r} was started; "
            "undo the change, or start another study with --study NAME"
        )


def refuse_other_data(spec: Spec, header: StudyHeader, info: DataInfo) -> None:
    if info.fingerprint != header.data.fingerprint:
        old, new = header.data, info
        raise ChangedError(
            f"the data of study {spec.study!r} changed since it was started "
            f"(rows train/val/test {old.n_train}/{old.n_val}/{old.n_test}, now {new.n_train}/{new.n_val}/{new.n_test}; "
            f"fingerprint {old.fingerprint[:12]}, now {new.fingerprint[:12]}); "
            "bring the old data back, or start another study with --study NAME"
        )
