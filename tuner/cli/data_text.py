"""A data set on one screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tuner.cli.half_blocks import side_by_side
from tuner.cli.tables import duration, number, render

if TYPE_CHECKING:
    from tuner.data.survey.features import Feature
    from tuner.data.survey.survey import Sample, Survey
    from tuner.workflows.data import DataReport

BAR = 20
MOST_CLASSES = 20
MOST_FEATURES = 30
MOST_TEXT = 150
PICTURES_A_LINE = 4


def text_of(report: DataReport, *, coloured: bool) -> str:
    """The report; pictures in colours where the terminal has them, else in black and white."""
    survey = report.survey
    info = survey.info
    shape = " x ".join(map(str, info.input_shape))
    head = [
        f"{report.file}: {info.kind}, {info.task}; from {report.source}",
        f"inputs {shape} {info.input_dtype}: {_values(survey)}",
        f"encoding: {report.encoding}",
        f"loading: {report.loading}; a batch of {report.batch_size} takes {1000 * report.batch_s:.2g} ms to read",
        f"ready in {duration(report.read_s)}",
        "",
    ]
    blocks = [*_parts(survey), *_features(survey.features), *_findings(report)]
    return "\n".join([*head, *blocks, *_samples(survey.samples, coloured=coloured)]).rstrip()


def _values(survey: Survey) -> str:
    values = survey.values
    return f"{number(values.minimum)} to {number(values.maximum)}, mean {number(values.mean)}, as they are stored"


# ----------------------------------------------------------------------------------------------------------- the parts


def _parts(survey: Survey) -> Iterator[str]:
    parts = survey.parts
    header = ["", *(part.name for part in parts)]
    rows = [["rows", *(str(part.n_rows) for part in parts)]]
    if any(part.n_looked < part.n_rows for part in parts):
        rows.append(["looked at", *(str(part.n_looked) for part in parts)])
    rows += _ranges(survey)
    yield render(header, rows)
    yield from _classes(survey)
    yield ""


def _ranges(survey: Survey) -> Iterator[list[str]]:
    first = survey.parts[0].ranges
    for column in range(len(first)):
        name = "target" if len(first) == 1 else f"target {column}"
        yield [
            name,
            *(
                f"{number(part.ranges[column].minimum)} to {number(part.ranges[column].maximum)},"
                f" mean {number(part.ranges[column].mean)}"
                for part in survey.parts
            ),
        ]


def _classes(survey: Survey) -> Iterator[str]:
    train = survey.parts[0]
    if not train.classes:
        return
    largest = max(1, *train.classes.values())
    yield ""
    labels = list(train.classes)[:MOST_CLASSES]
    rows = [
        [
            label,
            *(f"{part.classes[label]} ({part.classes[label] / max(1, part.n_rows):.1%})" for part in survey.parts),
            "#" * max(1, round(BAR * train.classes[label] / largest)),
        ]
        for label in labels
    ]
    yield render(["class", *(part.name for part in survey.parts), ""], rows)
    if len(train.classes) > MOST_CLASSES:
        yield f"and {len(train.classes) - MOST_CLASSES} more classes"


# -------------------------------------------------------------------------------------------------------- the features


def _features(features: Sequence[Feature]) -> Iterator[str]:
    if not features:
        return
    rows = [
        [feature.name, feature.kind, str(feature.missing), str(feature.distinct), _spread(feature)]
        for feature in features[:MOST_FEATURES]
    ]
    yield render(["feature (train)", "kind", "missing", "distinct", "values"], rows)
    if len(features) > MOST_FEATURES:
        yield f"and {len(features) - MOST_FEATURES} more features"
    yield ""


def _spread(feature: Feature) -> str:
    if feature.kind in ("category", "date"):
        return ", ".join(f"{name} {count}" for name, count in feature.frequent)
    return f"{number(feature.minimum)} to {number(feature.maximum)}, mean {number(feature.mean)}"


# -------------------------------------------------------------------------------------------------------- the findings


def _findings(report: DataReport) -> Iterator[str]:
    found = list(_problems(report.survey))
    if not found:
        yield "nothing suspicious: no row in two parts, no input with two targets, no feature constant or the target"
    yield from (f"! {text}" for text in found)
    if report.survey.info.n_test:
        yield "the test part was counted and compared only; it stays sealed until `tuner best`"
    yield ""


def _problems(survey: Survey) -> Iterator[str]:
    for overlap in survey.twins.overlaps:
        pairs = ", ".join(f"{overlap.first} {one} = {overlap.second} {other}" for one, other in overlap.pairs)
        yield f"{_rows(overlap.n_rows)} of {overlap.second} {_are(overlap.n_rows)} also in {overlap.first}: {pairs}"
    for part in survey.parts:
        if part.repeated:
            yield f"{_rows(part.repeated)} of {part.name} {_are(part.repeated)} there twice"
    conflicts = survey.twins.conflicts
    if conflicts.n_inputs:
        pairs = "; ".join(f"{one} and {other}" for one, other in conflicts.pairs)
        yield f"{_inputs(conflicts.n_inputs)} with different targets ({_rows(conflicts.n_rows)}): {pairs}"
    constant = [feature.name for feature in survey.features if feature.is_constant]
    if constant:
        yield f"constant in train, so of no use: {_listed(constant)}"
    elif survey.values.n_constant and not survey.features and survey.info.input_dtype != "int64":
        yield f"{survey.values.n_constant} of {survey.values.n_values} values of an input are the same in all rows"
    telling = [feature.name for feature in survey.features if feature.tells_target]
    if telling:
        yield f"tells the target alone; was it known before? {_listed(telling)}"


def _rows(n_rows: int) -> str:
    return f"{n_rows} row{'s' * (n_rows != 1)}"


def _inputs(n_inputs: int) -> str:
    return f"{n_inputs} input{'s occur' if n_inputs != 1 else ' occurs'}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_CLASSES} more" if len(names) > MOST_CLASSES else ""
    return ", ".join(names[:MOST_CLASSES]) + more


# --------------------------------------------------------------------------------------------------------- the samples


def _samples(samples: Sequence[Sample], *, coloured: bool) -> Iterator[str]:
    yield "samples of train"
    pictures = [sample for sample in samples if sample.picture is not None]
    for start in range(0, len(pictures), PICTURES_A_LINE):
        line = pictures[start : start + PICTURES_A_LINE]
        images = [sample.picture for sample in line if sample.picture is not None]
        yield from side_by_side(images, [f"{sample.row}: {sample.target}" for sample in line], coloured=coloured)
    for sample in samples:
        if sample.picture is None:
            text = sample.text if len(sample.text) <= MOST_TEXT else f"{sample.text[:MOST_TEXT]} ..."
            yield f"  row {sample.row} -> {sample.target}: {text}"
