"""A comparison as a page: verdict, what each came to, best over budget, and what differs."""

from __future__ import annotations

from collections.abc import Callable

from tuner.report.blocks import (
    Block,
    Bullets,
    Cell,
    Code,
    Figure,
    Figures,
    Notice,
    Page,
    Paragraph,
    Section,
    Strong,
    Table,
    Text,
    prose,
)
from tuner.report.chart import Chart
from tuner.report.contest import Contest, Difference, search_differences
from tuner.report.facts import Facts, values_range
from tuner.report.progress import Step
from tuner.report.scales import Linear
from tuner.report.text import NONE, duration, listed, measure, moment, number, plural, scalar, signed, spread

N_COLOURS = 6
_VOLUMES = (
    "Hypervolume of each front, of the box from the worst to the best of every objective over all of these studies: "
)
_ONE_SEARCH = (
    "Each is one search. Whether a sampler or a space is better in general shows only over several searches with "
    "different seeds."
)


def contest_page(contest: Contest, version: str, now: float) -> Page:
    names = [facts.study.name for facts in contest.entries]
    sections = (
        Section("verdict", "Verdict", tuple(_verdict(contest))),
        Section("studies", "Studies", (_studies(contest),)),
        _budget(contest),
        Section("spaces", "What differs", tuple(_what_differs(contest))),
    )
    return Page(
        title=" / ".join(names),
        subtitle=(f"{len(names)} studies compared",),
        sections=tuple(section for section in sections if section is not None),
        footer=(f"Written by tuner {version} on {moment(now)}. Nothing on this page is loaded from elsewhere.",),
    )


# ------------------------------------------------------------------------------------------------------------- verdict


def _verdict(contest: Contest) -> list[Block]:
    blocks: list[Block] = [Notice("warning", (text,)) for text in contest.obstacles()]
    differences = contest.differences()
    blocks += [Paragraph(_sentence(item, contest.first)) for item in differences]
    volumes = contest.volumes()
    if volumes:
        shown = [
            f"{facts.study.name} {number(volume, 3)}" for facts, volume in zip(contest.entries, volumes, strict=True)
        ]
        blocks.append(Paragraph((_VOLUMES, Strong(listed(shown)), ".")))
    if contest.are_alike:
        blocks.append(Notice("", (_ONE_SEARCH,)))
    return blocks


def _sentence(item: Difference, facts: Facts) -> Text:
    head = f"{item.first} against {item.second}: "
    if item.change is None:
        return (head, Strong(item.verdict), *_remedy(item))
    towards = item.first if item.change > 0.0 else item.second
    size = f"{facts.metric} differs by {signed(abs(item.change)).removeprefix('+')} in favour of {towards}"
    interval = f", 95 % interval {signed(item.low)} to {signed(item.high or 0.0)}" if item.low is not None else ""
    return (head, Strong(item.verdict), f". {size}{interval} (means over fresh seeds)", *_remedy(item))


def _remedy(item: Difference) -> Text:
    return (". ", Code(item.remedy), " says more.") if item.remedy else (".",)


# ------------------------------------------------------------------------------------------------------------- studies


def _studies(contest: Contest) -> Table:
    header = ("study", "sampler", "pruner", "trials", "complete", "epochs", "time", "best", "confirmed", "parameters")
    rows: list[tuple[Cell, ...]] = []
    for facts, course in zip(contest.entries, contest.courses, strict=True):
        rows.append(
            (
                Strong(facts.study.name),
                facts.spec.search.sampler.kind,
                facts.spec.search.pruner.kind,
                str(len(facts.trials)),
                str(sum(trial.can_be_best for trial in facts.trials)),
                str(course.n_epochs),
                duration(facts.study.seconds),
                _best(facts),
                _confirmed(facts),
                str(len(facts.spec.space.parameters)),
            )
        )
    return Table(header, rows, numeric=frozenset({3, 4, 5, 6, 7, 8, 9}), is_compact=True)


def _best(facts: Facts) -> str:
    if facts.is_multi:
        front = [trial for trial in facts.trials if trial.is_on_front]
        knee = ", ".join(
            f"{name} {measure(name, value)}" for name, value in ((facts.winner and facts.winner.values) or {}).items()
        )
        return f"{len(front)} on the front; knee {knee}" if front else NONE
    return number(facts.ranked[0].value) if facts.ranked else NONE


def _confirmed(facts: Facts) -> str:
    found = facts.candidate
    if found is None or found.mean is None:
        return NONE
    return f"{spread(found.mean, found.std)} ({plural(len(found.values), 'seed')})"


# ---------------------------------------------------------------------------------------------------- best over budget


def _budget(contest: Contest) -> Section | None:
    if not contest.are_alike or not any(course.finished for course in contest.courses):
        return None
    by_epochs = _figure(
        contest, "Over epochs", "epochs of all trials", lambda step: step.spent, [c.n_epochs for c in contest.courses]
    )
    by_time = _figure(
        contest, "Over time", "time searched", lambda step: step.at, [c.seconds for c in contest.courses], is_time=True
    )
    text = prose(
        f"The best complete trial by {contest.first.metric}, as it was known then. The table compares "
        "after equal epochs, up to what all of them have spent.",
    )
    blocks: list[Block] = [Paragraph(text), Figures((by_epochs, by_time), 420), _budget_table(contest)]
    return Section("budget", "Best over budget", tuple(blocks))


def _figure(
    contest: Contest,
    title: str,
    x_title: str,
    place: Callable[[Step], float],
    ends: list[float] | list[int],
    *,
    is_time: bool = False,
) -> Figure:
    values = [step.value for course in contest.courses for step in course.finished]
    low, high = values_range(values, maximize=contest.first.study.maximize, share=0.05)
    chart = Chart(
        x=Linear(0.0, max(ends) * 1.02 or 1.0, n_ticks=4, is_time=is_time, is_whole=not is_time),
        y=Linear(low, high),
        x_title=x_title,
        y_title=contest.first.metric,
        height=300,
        name=f"Best {contest.first.metric} {title.lower()}",
        legend=[(f"line s{index % N_COLOURS}", facts.study.name) for index, facts in enumerate(contest.entries)],
    )
    for index, course in enumerate(contest.courses):
        steps = [(place(step), step.value) for step in course.finished]
        chart.steps(steps, f"line series s{index % N_COLOURS}", until=float(ends[index]))
    return Figure(title, chart)


def _budget_table(contest: Contest) -> Table:
    budgets = contest.budgets()
    header = ("after", *(facts.study.name for facts in contest.entries), "ahead")
    rows = []
    for spent in budgets:
        found = [contest.best_at(index, spent) for index in range(len(contest.entries))]
        known = [(contest.first.sign * value, index) for index, value in enumerate(found) if value is not None]
        ahead = contest.entries[min(known)[1]].study.name if known else NONE
        if len(known) > 1 and len({value for value, _ in known}) == 1:
            ahead = "equal"
        rows.append((plural(spent, "epoch"), *map(number, found), ahead))
    return Table(header, rows, numeric=frozenset(range(1, len(contest.entries) + 1)))


# -------------------------------------------------------------------------------------------------------- what differs


def _what_differs(contest: Contest) -> list[Block]:
    blocks: list[Block] = []
    for facts in contest.entries[1:]:
        names = f"{contest.first.study.name} -> {facts.study.name}"
        space, search = contest.first.spec.differences(facts.spec), search_differences(contest.first, facts)
        blocks.append(Paragraph((Strong(names),)))
        blocks.append(Bullets(tuple(_lines("space", space) + _lines("search", search) + _taken(facts))))
    shared = _shared_params(contest)
    if shared is not None:
        blocks += [Paragraph((Strong("The winners' parameters"),)), shared]
    return blocks


def _taken(facts: Facts) -> list[Text]:
    if not facts.taken:
        return []
    source = (facts.study.taken or {}).get("study", "another study")
    return [(f"begun with {plural(len(facts.taken), 'trial')} of {source}: its epochs are counted as spent",)]


def _lines(what: str, lines: list[str]) -> list[Text]:
    return [(f"{what}: ", Code(line)) for line in lines] or [(f"{what}: the same",)]


def _shared_params(contest: Contest) -> Table | None:
    winners = [facts.winner for facts in contest.entries]
    names = dict.fromkeys(name for winner in winners if winner is not None for name in winner.params)
    if not names:
        return None
    rows: list[tuple[Cell, ...]] = [
        (Code(name), *(scalar(winner.params[name]) if winner and name in winner.params else NONE for winner in winners))
        for name in names
    ]
    header = ("parameter", *(facts.study.name for facts in contest.entries))
    return Table(header, rows, numeric=frozenset(range(1, len(header))))
