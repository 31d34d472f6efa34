"""`tuner search --study NEW --from OLD`: an edited space goes on with the trials of the old one that are inside it."""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuner.config.code import named
from tuner.config.evolve import Fit, fit
from tuner.config.schema import TrialConfig
from tuner.config.spec import Spec
from tuner.data.info import DataInfo
from tuner.errors import ChangedError, UsageError
from tuner.paths import StudyPaths, sync_folder
from tuner.study.queries import StudyReader
from tuner.study.records import distribution_of
from tuner.study.rows import StudyRow
from tuner.study.store import StudyStore
from tuner.study.takeover import FINISHED, Source, Taken
from tuner.training.checkpoint_files import PATTERN

MOST_NUMBERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Evolution:
    """What a new study takes from an old one."""

    spec: Spec
    storage: str
    old: StudyRow
    header: Mapping[str, Any]
    reader: StudyReader

    @classmethod
    def of(cls, spec: Spec, storage: str, name: str) -> Evolution:
        """Raises NotFoundError, UsageError; and ChangedError where trials of the two cannot be compared."""
        if name == spec.study:
            raise UsageError(f"--from {name}: that is the study itself; give the new one a name with --study NAME")
        reader = StudyReader.open(storage)
        old = reader.own_study(name)
        header = reader.header(old)
        _refuse_other_objective(spec, Spec.from_json(header["spec"]), name)
        return cls(spec=spec, storage=storage, old=old, header=header, reader=reader)

    def refuse_other_grounds(self, info: DataInfo, code: Mapping[str, str]) -> None:
        """Trials on other data, or of other code, are not trials of the new study; ChangedError says which it is."""
        name, data = self.old.name, DataInfo.from_json(self.header["data"])
        if data.fingerprint != info.fingerprint:
            raise ChangedError(
                f"--from {name}: its trials were trained and scored on other data: fingerprint "
                f"{data.fingerprint[:12]}, now {info.fingerprint[:12]} (the split depends on the seed too); "
                "start the new study without --from"
            )
        changed = [target for target, digest in code.items() if self.header["code"].get(target, digest) != digest]
        if changed:
            raise ChangedError(
                f"--from {name}: {named(changed)} changed since it was started; undo the change, or "
                "start the new study without --from"
            )

    def is_done(self, store: StudyStore) -> bool:
        """Whether the new study has taken the trials over; UsageError when it has others, which are in the way."""
        taken = store.notes.taken
        if taken is not None and taken[0] == self.old.name:
            return True
        if taken is not None or store.history():
            raise UsageError(
                f"--from {self.old.name}: study {self.spec.study!r} has trials already; trials are taken over when a "
                "study is started: leave --from out, or give another --study NAME"
            )
        return False

    def take_over(self, store: StudyStore, paths: StudyPaths) -> list[str]:
        """Copy the trials that fit into the new study; returns lines for people.

        Their files come first, their rows all at once: what a death leaves in between is overwritten by the next try.
        """
        fits = self._fits()
        taken = [Taken(number=number, params=found.params, config=self._bound(found))
                 for number, found in fits.items() if found.params is not None]  # fmt: skip
        old_paths = StudyPaths.of(self.storage, self.old.name)
        for number, trial in enumerate(taken):
            _link_folder(old_paths.trial(trial.number), paths.trial(number))
        if taken:
            sync_folder(paths.root)
        store.take_over(
            Source(name=self.old.name, uid=self.old.uid, study_id=self.old.study_id),
            taken,
            {parameter.name: distribution_of(parameter.domain) for parameter in self.spec.space.parameters},
        )
        return self._lines(len(taken), fits)

    def _fits(self) -> dict[int, Fit]:
        configs = self.reader.configs(self.old)
        found = {}
        for trial in self.reader.trials(self.old):
            if trial.state not in FINISHED:
                found[trial.number] = Fit(reason=f"is {trial.state.value}, and only finished trials are taken over")
            elif trial.number not in configs:
                found[trial.number] = Fit(reason="was not trained by tuner")
            else:
                try:
                    config = TrialConfig.model_validate_json(json.dumps(configs[trial.number]))
                except ValueError:
                    found[trial.number] = Fit(reason="has a config that this version does not read")
                    continue
                found[trial.number] = fit(self.spec, trial.params, config)
        return found

    def _bound(self, found: Fit) -> str:
        assert found.params is not None
        return self.spec.bind(found.params).model_dump_json()

    def _lines(self, n_taken: int, fits: Mapping[int, Fit]) -> list[str]:
        differences = Spec.from_json(self.header["spec"]).differences(self.spec)
        lines = (
            [f"the space of {self.old.name} has changed:", *(f"  {line}" for line in differences)]
            if differences
            else []
        )
        lines.append(f"took over {n_taken} of {len(fits)} trials of {self.old.name}")
        left: dict[str, list[int]] = defaultdict(list)
        for number, found in fits.items():
            if found.params is None:
                left[f"{found.path} {found.reason}".strip()].append(number)
        return [*lines, *(f"  not {_numbers(numbers)}: {reason}" for reason, numbers in left.items())]


def _numbers(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - MOST_NUMBERS} more" if len(numbers) > MOST_NUMBERS else ""
    return ", ".join(f"#{number}" for number in numbers[:MOST_NUMBERS]) + more


def _refuse_other_objective(spec: Spec, old: Spec, name: str) -> None:
    if spec.objectives != old.objectives:
        was, now = (" and ".join(f"{each.direction} {each.metric}" for each in of.objectives) for of in (old, spec))
        raise ChangedError(
            f"--from {name}: it was searched for {was}, and {spec.file} is for {now}; "
            "start the new study without --from"
        )
    if [item.text for item in spec.constraints] != [item.text for item in old.constraints]:
        raise ChangedError(
            f"--from {name}: its trials were judged by other constraints than those of {spec.file}; "
            "keep the constraints, or start the new study without --from"
        )


def _link_folder(old: Path, new: Path) -> None:
    """The files of a finished trial, which nobody changes: checkpoints as links where the disk has them."""
    if new.exists():
        shutil.rmtree(new)
    new.mkdir(parents=True)
    for path in sorted(old.iterdir()) if old.is_dir() else ():
        is_checkpoint = path.match(PATTERN)
        with suppress(FileNotFoundError):  # the old study is searched at the moment, and keeps better ones
            if is_checkpoint:
                _link(path, new / path.name)
            elif path.is_file() and not path.name.startswith("."):
                shutil.copyfile(path, new / path.name)


def _link(old: Path, new: Path) -> None:
    try:
        os.link(old, new)
    except FileNotFoundError:
        raise
    except OSError:  # no hard links there
        shutil.copyfile(old, new)
