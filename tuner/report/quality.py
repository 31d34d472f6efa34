"""How good the winner's model is, looked at closely: classes, probabilities, residuals; on the validation part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tuner.report.blocks import (
    Block,
    Cell,
    Columns,
    Figure,
    Figures,
    Fold,
    Notice,
    Paragraph,
    Section,
    Strong,
    Table,
    Text,
    prose,
)
from tuner.report.chart import Chart
from tuner.report.facts import Facts
from tuner.report.scales import Linear
from tuner.report.text import MINUS, listed, number, percent, plural

MAX_MATRIX = 30
MAX_PAIRS = 10
OVERCONFIDENT = 0.03


def quality(facts: Facts) -> Section | None:
    """None where there is no winner to look at."""
    if facts.winner is None:
        return None
    title = "The winner, looked at closely"
    examined = facts.examined
    if examined.missing and not examined.details:
        return Section("quality", title, (Paragraph((examined.missing,)),))
    run = "its best run on a fresh seed" if examined.is_fresh else "its weights"
    rows = f"the {facts.data.n_val} rows of the validation part{_own_rows(facts)}"
    blocks: list[Block] = [Paragraph((f"By {run}, evaluated on {rows}. The test part is not looked at.",))]
    if examined.missing:
        blocks.append(Notice("", (examined.missing,)))
    tables = tuple(_of_classes(examined.details))
    blocks += [Columns(tables)] if tables else []
    blocks += _of_metrics(facts)
    blocks += _of_probabilities(examined.found)
    blocks += _of_residuals(examined.found)
    if len(blocks) == 1:
        blocks.append(Paragraph((f"There is nothing of the kind to show for {facts.data.task}.",)))
    return Section("quality", title, tuple(blocks))


def _of_metrics(facts: Facts) -> Iterator[Block]:
    """Every metric of the validation part, beside the stored scores of the test part and a guess without a model."""
    test = facts.test.metrics if facts.test else {}
    guess: Mapping[str, float] = facts.examined.found.get("baseline", {}).get("metrics", {})
    names = [name.removeprefix("val/") for name in facts.examined.metrics]
    if not names:
        return
    names.sort(key=lambda name: name != facts.study.metric)
    columns = {"validation": (facts.examined.metrics, "val/"), "test": (test, "test/"), "a guess": (guess, "val/")}
    shown = {title: source for title, source in columns.items() if source[0]}
    rows = [(name, *(number(values.get(f"{split}{name}"), 4) for values, split in shown.values())) for name in names]
    marked = frozenset({0}) if names[0] == facts.study.metric else frozenset()
    table = Table(("metric", *shown), rows, numeric=frozenset(range(1, len(shown) + 1)), marked=marked, is_compact=True)
    yield Fold(f"Every metric, {listed(list(shown))}", (table,), is_kept=True)


def _own_rows(facts: Facts) -> str:
    return " of that run" if facts.examined.is_fresh else ""


# ------------------------------------------------------------------------------------------------------------- classes


def _of_classes(details: Mapping[str, Any]) -> Iterator[Block]:
    names = [str(name) for name in details.get("labels") or details.get("targets") or ()]
    if not names:
        return
    matrix = details.get("confusion") or [[[]]]
    is_plain = not isinstance(matrix[0][0], list)
    if is_plain and len(names) <= MAX_MATRIX:
        yield _matrix(names, matrix)
    table = _by_class(names, details)
    kind = "class" if "labels" in details else "target"
    yield Fold(f"Each {kind}", (table,), is_kept=True) if len(names) > 12 else table  # noqa: PLR2004
    if is_plain and len(names) > 2:  # noqa: PLR2004  of two the matrix says it
        pairs = _confused(names, matrix)
        if pairs is not None:
            yield pairs


def _matrix(names: Sequence[str], matrix: Sequence[Sequence[int]]) -> Table:
    sums = [sum(row) or 1 for row in matrix]
    shades = {
        (row, column + 1): count / sums[row]
        for row, counts in enumerate(matrix)
        for column, count in enumerate(counts)
        if count
    }
    rows: list[Sequence[Cell]] = [
        (Strong(names[row]), *(str(count) if count else "·" for count in counts)) for row, counts in enumerate(matrix)
    ]
    header = ("true \\ said", *names)
    return Table(header, rows, numeric=frozenset(range(1, len(header))), shades=shades, is_compact=True)


def _confused(names: Sequence[str], matrix: Sequence[Sequence[int]]) -> Table | None:
    pairs = [
        (count, count / sum(counts), names[row], names[column])
        for row, counts in enumerate(matrix)
        for column, count in enumerate(counts)
        if row != column and count
    ]
    if not pairs:
        return None
    pairs.sort(key=lambda pair: (-pair[0], -pair[1]))
    rows = [(true, said, str(count), percent(share)) for count, share, true, said in pairs[:MAX_PAIRS]]
    return Table(("true", "taken for", "rows", "of its class"), rows, numeric=frozenset({2, 3}))


def _by_class(names: Sequence[str], details: Mapping[str, Any]) -> Table:
    kind = "class" if "labels" in details else "target"
    columns = [name for name in details if name not in ("labels", "targets", "confusion")]
    rows = [(name, *(_number(details[column][row]) for column in columns)) for row, name in enumerate(names)]
    return Table((kind, *columns), rows, numeric=frozenset(range(1, len(columns) + 1)))


def _number(value: float | None) -> str:
    return str(value) if isinstance(value, int) else number(value, 3)


# ------------------------------------------------------------------------------------------------------- probabilities


def _of_probabilities(found: Mapping[str, Any]) -> Iterator[Block]:
    reliability = found.get("reliability")
    if reliability and reliability["bins"]:
        yield Figures((_diagram(reliability), _histogram(reliability)), min_width=300)
    mistakes = found.get("mistakes")
    if mistakes:
        rows = [(str(item["row"]), item["true"], item["said"], percent(item["p"])) for item in mistakes]
        table = Table(("row of the source", "true", "said", "with"), rows, numeric=frozenset({0, 3}))
        yield Fold("The surest mistakes: look at these rows, some may be labelled wrong", (table,), is_kept=True)


def _diagram(reliability: Mapping[str, Any]) -> Figure:
    chart = Chart(
        x=Linear(0.0, 1.02),
        y=Linear(0.0, 1.04),
        x_title="probability that was said",
        y_title="share that was so",
        height=280,
        name="Reliability diagram",
    )
    chart.line([(0.0, 0.0), (1.0, 1.0)], "line mark")
    for item in reliability["bins"]:
        title = f"{item['n']} rows: said {item['said']:.3f}, was {item['was']:.3f}"
        chart.box((item["low"] + 0.008, 0.0), (item["high"] - 0.008, item["was"]), "bar soft", title=title)
    chart.line([(item["said"], item["was"]) for item in reliability["bins"]], "line winner")
    for item in reliability["bins"]:
        chart.dot(item["said"], item["was"], "winner")
    return Figure("Reliability", chart, _calibration(reliability), _bin_table(reliability))


def _calibration(reliability: Mapping[str, Any]) -> Text:
    bins, ece = reliability["bins"], float(reliability["ece"])
    n_rows = sum(item["n"] for item in bins)
    tilt = sum(item["n"] * (item["said"] - item["was"]) for item in bins) / n_rows
    what = f"of {reliability['of']}" if reliability["of"] else "of the class that was said"
    text = f"Probabilities {what} against how often they were right; on the line they can be taken at their word. "
    text += f"Expected calibration error {number(ece, 2)}"
    if not reliability["of"] and ece >= OVERCONFIDENT and abs(tilt) > ece / 2:
        text += f": the model is {'surer than it is right' if tilt > 0 else 'less sure than it is right'}"
    return (f"{text}.",)


def _histogram(reliability: Mapping[str, Any]) -> Figure:
    most = max(item["n"] for item in reliability["bins"])
    chart = Chart(
        x=Linear(0.0, 1.02),
        y=Linear(0.0, most * 1.05, n_ticks=4, is_whole=True),
        x_title="probability that was said",
        y_title="rows",
        height=280,
        name="How often each probability was said",
    )
    for item in reliability["bins"]:
        title = plural(item["n"], "row")
        chart.box((item["low"] + 0.008, 0.0), (item["high"] - 0.008, item["n"]), "bar", title=title)
    return Figure("How often each was said", chart)


def _bin_table(reliability: Mapping[str, Any]) -> Table:
    rows = [
        (f"{item['low']:.1f} to {item['high']:.1f}", str(item["n"]), number(item["said"], 3), number(item["was"], 3))
        for item in reliability["bins"]
    ]
    return Table(("probability", "rows", "said", "was"), rows, numeric=frozenset({1, 2, 3}))


# ----------------------------------------------------------------------------------------------------------- residuals


def _of_residuals(found: Mapping[str, Any]) -> Iterator[Block]:
    several = found.get("residuals") or ()
    for item in several:
        name = f" of target {item['target']}" if len(several) > 1 else ""
        yield Figures((_said_against_true(item, name), _errors(item, name)), min_width=300)


def _said_against_true(item: Mapping[str, Any], name: str) -> Figure:
    points = item["points"]
    scale = Linear.around([value for point in points for value in point])
    chart = Chart(x=scale, y=scale, x_title="true", y_title="said", height=300, name=f"Predictions{name} against truth")
    chart.line([(scale.low, scale.low), (scale.high, scale.high)], "line mark")
    for true, said in points:
        chart.dot(true, said, "done")
    return Figure(f"Predictions{name}", chart, ("On the line a prediction is right.",))


def _errors(item: Mapping[str, Any], name: str) -> Figure:
    edges, counts = item["edges"], item["counts"]
    chart = Chart(
        x=Linear(edges[0], edges[-1] if edges[-1] > edges[0] else edges[0] + 1.0),
        y=Linear(0.0, max(counts) * 1.05, n_ticks=4, is_whole=True),
        x_title=f"said {MINUS} true",
        y_title="rows",
        height=300,
        name=f"Residuals{name}",
    )
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        if count:
            chart.box(
                (low, 0.0), (high, count), "bar", title=f"{number(low, 3)} to {number(high, 3)}: {plural(count, 'row')}"
            )
    if edges[0] < 0.0 < edges[-1]:
        chart.upright(0.0, "line mark")
    low, middle, high = item["quantiles"]
    text = prose(
        f"Mean {number(item['mean'], 3)}, standard deviation {number(item['std'], 3)}; nine of ten errors are between "
        f"{number(low, 3)} and {number(high, 3)}, half are below {number(middle, 3)}.",
    )
    rows = [("mean", number(item["mean"])), ("standard deviation", number(item["std"])), ("5 %", number(low)),
            ("median", number(middle)), ("95 %", number(high))]  # fmt: skip
    return Figure(f"Residuals{name}", chart, text, Table(("residual", "value"), rows, numeric=frozenset({1})))
