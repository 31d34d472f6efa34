"""What the parameters did: how much each matters, how they go together, and where each is best."""

from __future__ import annotations

from statistics import median

from tuner.control.controller import TrialState
from tuner.report.axes import Axis
from tuner.report.blocks import (
    Block,
    Cell,
    Code,
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
from tuner.report.chart import Chart, Label
from tuner.report.edges import Edge, edges_of
from tuner.report.facts import Facts, values_range
from tuner.report.parallel import best_tenth, parallel
from tuner.report.scales import Categories, Linear
from tuner.report.text import NONE, percent, plural, rounded, scalar
from tuner.report.text import number as number_text
from tuner.space.parameters import Choices, FloatRange, IntRange, Parameter, Scalar
from tuner.study.importance import PER_PARAMETER, Importances

ROW_HEIGHT = 30
MAX_SLICES = 24


def importance(facts: Facts) -> Section:
    found = facts.importances
    if found is None:
        n_known = sum(bool(curve) for curve in facts.curves.values())
        text = prose(
            "Too few trials, or too much alike, to say which parameters matter: "
            f"{plural(n_known, 'trial')} with a value."
        )
        return Section("importance", "Which parameters matter", (Paragraph(text),))
    blocks: list[Block] = [Paragraph(_explained(facts, found))]
    if found.are_few:
        blocks.append(Notice("warning", (_too_few(found),)))
    elif not any(row.is_clear for row in found.rows):
        blocks.append(Notice("warning", ("No parameter stands out from chance: do not rely on this order.",)))
    marks = "The thin line is the 90 % interval, the mark what chance alone would show."
    blocks.append(Figure("", _bars(found), (marks,), _bar_table(found)))
    return Section("importance", "Which parameters matter", tuple(blocks))


def _explained(facts: Facts, found: Importances) -> Text:
    what = "Pareto rank" if facts.is_multi else facts.metric
    values = f"Values are the best up to epoch {facts.level}, which {plural(found.n_trials, 'trial')} came to."
    if found.method == "fanova":
        return prose(
            f"Share of the variance of {what} that each parameter explains by itself, over the whole space (fANOVA); "
            f"what is left is how they act together. {values}"
        )
    return prose(
        f"How much each parameter decides whether a trial is among the best by {what} (PED-ANOVA, which knows "
        f"parameters that exist under conditions). {values}"
    )


def _too_few(found: Importances) -> str:
    needed = PER_PARAMETER * len(found.rows)
    return (
        f"{plural(found.n_trials, 'trial')} for {plural(len(found.rows), 'parameter')} are few: the order below may be "
        f"chance. From about {needed} trials on it says something."
    )


def _bars(found: Importances) -> Chart:
    rows = found.rows[::-1]  # the most important on top
    most = max(max(row.high, row.noise) for row in rows) or 1.0
    chart = Chart(
        x=Linear(0.0, most * 1.02, n_ticks=4),
        y=Categories(tuple(row.name for row in rows)),
        x_title="share of the variance" if found.method == "fanova" else "share of the importance of all",
        height=max(80, (ROW_HEIGHT + 8) * len(rows)),
        has_y_labels=False,
        has_grid=False,
        name="Importance of each parameter",
        legend=[("fill bar", "importance"), ("line whisker", "90 % interval"), ("line noise", "chance")],
    )
    for index, row in enumerate(rows):
        style = "bar" if row.is_clear else "bar unclear"
        chart.box((0.0, index - 0.38), (row.share, index - 0.1), style, title=f"{row.name}: {percent(row.share)}")
        chart.line([(row.low, index - 0.24), (row.high, index - 0.24)], "line whisker")
        chart.line([(row.noise, index - 0.42), (row.noise, index - 0.06)], "line noise")
        chart.label(Label(0.0, index + 0.16, f"{row.name}: {percent(row.share)}", "start", "name"))
    return chart


def _bar_table(found: Importances) -> Table:
    rows = [
        (
            Code(row.name),
            percent(row.share),
            f"{percent(row.low)} to {percent(row.high)}",
            percent(row.noise),
            str(row.n_trials),
        )
        for row in found.rows
    ]
    header = ("parameter", "importance", "90 % interval", "chance", "trials with it")
    return Table(header, rows, numeric=frozenset({1, 2, 3, 4}))


def together(facts: Facts) -> Section:
    chart = parallel(facts)
    if chart is None:
        return Section("parallel", "Parameters together", (Paragraph(("There is no trial with a value yet.",)),))
    text = prose(
        "Each line is a trial, from its parameters to what it came to. The best tenth stands out; trials that were "
        "stopped early are faint. A line that dips below an axis has no such parameter. Drag along an axis to keep "
        "only the lines that cross it there; a click on its name lets all back in.",
    )
    return Section("parallel", "Parameters together", (Figure("", chart, text, _best_table(facts)),))


def _best_table(facts: Facts) -> Table | None:
    """The ranges that the best tenth of the trials keep to, where there are no pictures."""
    best = best_tenth(facts)
    rows = []
    for parameter in facts.spec.space.parameters:
        values = [trial.params[parameter.name] for trial in best if parameter.name in trial.params]
        numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
        if len(numbers) == len(values) and numbers:
            shown = f"{scalar(min(numbers))} to {scalar(max(numbers))}"
        else:
            shown = ", ".join(sorted({scalar(value) for value in values})) or NONE
        rows.append((Code(parameter.name), shown))
    return Table(("parameter", f"in the best {len(best)} trials"), rows) if best else None


def slices(facts: Facts) -> Section:
    """What trials came to by each parameter alone, and where the best is at an end of the range."""
    title = "Each parameter alone"
    values = {trial.number: value for trial in facts.trials if (value := facts.at_level(trial.number)) is not None}
    if not values:
        return Section("slices", title, (Paragraph(("There is no trial with a value yet.",)),))
    edges = {edge.name: edge for edge in edges_of(facts)}
    order = [row.name for row in facts.importances.rows] if facts.importances else []
    rank = {name: index for index, name in enumerate(order)}
    parameters = sorted(facts.spec.space.parameters, key=lambda item: rank.get(item.name, len(rank)))
    known = [item for item in parameters if any(item.name in facts.by_number[number].params for number in values)]
    figures = [_slice(facts, values, parameter, edges.get(parameter.name)) for parameter in known]
    blocks: list[Block] = [Paragraph((_by_what(facts, len(values)),))]
    blocks += [Notice("warning", _widen(edge)) for edge in edges.values() if edge.is_to_widen]
    blocks.append(Figures(tuple(figures[:MAX_SLICES])))
    if len(figures) > MAX_SLICES:
        more = Figures(tuple(figures[MAX_SLICES:]))
        blocks.append(Fold(f"The other {plural(len(figures) - MAX_SLICES, 'parameter')}", (more,)))
    blocks.append(_slice_table(facts, values, known))
    return Section("slices", title, tuple(blocks))


def _by_what(facts: Facts, n_values: int) -> str:
    order = ", the most important parameter first" if facts.importances else ""
    return (
        f"The best {facts.metric} up to epoch {facts.level} of the {plural(n_values, 'trial')} that came to it{order}. "
        "Comparing after one and the same epoch is fair to those that were stopped later. The worst eighth is left out "
        "of the pictures."
    )


def _widen(edge: Edge) -> Text:
    return prose(
        Code(edge.name),
        Strong(": the best is at the edge of the range: widen it. "),
        f"The winner has {scalar(edge.value)}, the {edge.side} end is {scalar(edge.bound)}, and {edge.n_near} of the "
        f"best {edge.n_best} trials are near to it. ",
        "Under another name the study takes over what it has: ",
        Code("tuner search --space FILE --study NEW --from OLD"),
    )


def _slice(facts: Facts, values: dict[int, float], parameter: Parameter, edge: Edge | None) -> Figure:
    axis = Axis.of(parameter.name, parameter.domain, 0.04)
    low, high = values_range(list(values.values()), maximize=facts.study.maximize, share=0.12)
    upright = Linear(low, high, n_ticks=4)
    if axis.is_categorical:
        labels = len(axis.ticks())
        chart = Chart(x=upright, y=axis.scale, x_title=facts.metric, height=max(150, 46 * labels), has_y_labels=False)
    else:
        chart = Chart(x=axis.scale, y=upright, x_title=parameter.name, y_title=facts.metric, height=190)
    chart.name = f"{facts.metric} by {parameter.name}"
    winner = facts.winner.number if facts.winner else None
    for number in sorted(values, key=lambda number: (number == winner, facts.sign * -values[number])):
        trial = facts.by_number[number]
        if parameter.name not in trial.params:
            continue
        style = "winner" if number == winner else "done" if trial.state is TrialState.COMPLETE else "pruned"
        place = axis.number(trial.params[parameter.name])
        if axis.is_categorical:
            chart.dot(values[number], place - 0.3 + _jitter(number), style, number)
        else:
            chart.dot(place, values[number], style, number)
    if axis.is_categorical:
        for index, tick in enumerate(axis.ticks()):
            chart.label(Label(low, index + 0.26, tick.label, "start", "name", title=f"{parameter.name}: {tick.label}"))
    return Figure(parameter.name, chart, _remark(edge))


def _jitter(number: int) -> float:
    """A place within a band, always the same for a trial, so that equal values do not hide each other."""
    return 0.36 * ((number * 0.6180339887) % 1.0)


def _remark(edge: Edge | None) -> Text:
    if edge is None:
        return ()
    if edge.is_to_widen:
        return (Strong("The best is at the edge of the range: widen it."),)
    if not edge.can_widen:
        return (f"The best is at the {edge.side} end; the config takes nothing beyond.",)
    return (f"The winner is at the {edge.side} end, {edge.n_near} of the best {edge.n_best} trials near to it.",)


def _slice_table(facts: Facts, values: dict[int, float], parameters: list[Parameter]) -> Fold:
    """What each choice, or each third of a range, came to: for those who read without pictures."""
    rows = [row for parameter in parameters for row in _rows_of(facts, values, parameter)]
    header = ("parameter", "values", "trials", f"median {facts.metric}", "best")
    return Fold("As a table", (Table(header, rows, numeric=frozenset({2, 3, 4})),), is_kept=True)


def _rows_of(facts: Facts, values: dict[int, float], parameter: Parameter) -> list[tuple[Cell, ...]]:
    axis = Axis.of(parameter.name, parameter.domain)
    groups: dict[str, list[float]] = {}
    for number, value in values.items():
        params = facts.by_number[number].params
        if parameter.name in params:
            groups.setdefault(_group(axis, parameter, params[parameter.name]), []).append(value)
    order = sorted(groups, key=_groups_of(axis, parameter).index)
    best = min if facts.sign > 0 else max
    return [
        (Code(parameter.name), group, str(len(found)), number_text(median(found)), number_text(best(found)))
        for group in order
        if (found := groups[group])
    ]


def _groups_of(axis: Axis, parameter: Parameter) -> list[str]:
    if isinstance(parameter.domain, Choices):
        return [tick.label for tick in axis.ticks()]
    return [_third(parameter.domain, index) for index in range(3)]


def _group(axis: Axis, parameter: Parameter, value: Scalar) -> str:
    if isinstance(parameter.domain, Choices):
        return scalar(value)
    return _third(parameter.domain, min(2, max(0, int(3 * axis.place(value)))))


def _third(domain: FloatRange | IntRange, index: int) -> str:
    """The bounds of a third of a range."""
    low, high = float(domain.low), float(domain.high)
    ends = [low * (high / low) ** (k / 3) if domain.log else low + (high - low) * k / 3 for k in (index, index + 1)]
    return f"{rounded(ends[0])} to {rounded(ends[1])}"
