"""The answer in words: who won, what to expect of it, against what, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator

from tuner.control.controller import TrialState
from tuner.control.winner import Candidate
from tuner.report.blocks import (
    Block,
    Code,
    Inline,
    Notice,
    Paragraph,
    Section,
    Strong,
    Table,
    Text,
    Tile,
    Tiles,
    Trial,
    coded,
)
from tuner.report.edges import Edge, edges_of
from tuner.report.facts import OPEN, Facts
from tuner.report.text import NONE, duration, listed, measure, number, plural, scalar, signed, spread

FEW_SEEDS = 3


def verdict(facts: Facts) -> Section:
    blocks: list[Block] = [Paragraph(tuple(_winner(facts)), is_lead=True)]
    blocks.append(Tiles(tuple(_tiles(facts))))
    blocks += [Paragraph(text) for text in (_against_default(facts), _against_guess(facts)) if text]
    blocks += [Notice("warning", text) for text in _doubts(facts)]
    blocks += [Notice("", text) for text in _advice(facts)]
    if facts.winner is not None:
        blocks.append(_params(facts))
    return Section("verdict", "Verdict", tuple(blocks))


# ---------------------------------------------------------------------------------------------------------- the winner


def _winner(facts: Facts) -> Iterator[Inline]:
    winner = facts.winner
    if winner is None:
        yield from _no_winner(facts)
    elif winner.values is not None:
        yield from _picked(facts)
    elif facts.candidate is not None:
        yield from _confirmed(facts, facts.candidate)
    else:
        yield from (
            Trial(winner.number, "Trial"),
            " is the best so far: ",
            Strong(f"{facts.metric} {number(winner.value)}"),
        )
        yield f" on the validation part, at epoch {winner.best_epoch}. That value was chosen for being the best of "
        yield f"{plural(len(facts.ranked), 'complete trial')}, so it is optimistic."


def _no_winner(facts: Facts) -> Iterator[Inline]:
    reached = {trial.number: value for trial in facts.trials if (value := facts.reached(trial.number)) is not None}
    yield Strong("No trial is complete" if not facts.counts[TrialState.COMPLETE] else "No trial meets the constraints")
    if reached:
        best = min(reached, key=lambda trial: facts.sign * reached[trial])
        trial = facts.by_number[best]
        yield f": there is no winner yet. The best that was seen is {facts.metric} {number(reached[best])}, of "
        yield from (Trial(best), f", which is {trial.state.value} after {plural(trial.epochs, 'epoch')}.")
    else:
        yield ", and none has come through an epoch with a finite value."


def _picked(facts: Facts) -> Iterator[Inline]:
    winner, n_front = facts.winner, sum(bool(trial.is_on_front) for trial in facts.trials)
    assert winner is not None
    yield from (
        Strong(plural(n_front, "trial")),
        " ",
        "is" if n_front == 1 else "are",
        " on the front: none is better ",
    )
    yield "than another in everything. "
    yield from (Trial(winner.number, "Trial"), f" is {facts.why}: ")
    yield Strong(listed([f"{name} {measure(name, value)}" for name, value in (winner.values or {}).items()]))
    yield "."


def _confirmed(facts: Facts, winner: Candidate) -> Iterator[Inline]:
    n_seeds = len(winner.values)
    yield from (
        Trial(winner.trial, "Trial"),
        " wins. ",
        f"Trained again on {plural(n_seeds, 'fresh seed')} it comes to ",
    )
    yield Strong(f"{facts.metric} {spread(winner.mean or 0.0, winner.std)}")
    yield " (mean ± standard deviation)" if winner.std is not None else ""
    yield f": expect that, not the {number(winner.search_value)} that the search saw."


def _tiles(facts: Facts) -> Iterator[Tile]:
    winner, candidate = facts.winner, facts.candidate
    if candidate is not None:
        text = spread(candidate.mean or 0.0, candidate.std)
        yield Tile(f"confirmed {facts.metric}", text, plural(len(candidate.values), "fresh seed"), "good")
    elif winner is not None and winner.values is None:
        yield Tile(f"best {facts.metric}", number(winner.value), "of the search, not confirmed")
    elif winner is not None:
        for name, value in (winner.values or {}).items():
            yield Tile(name, measure(name, value), f"trial {winner.number}")
    if facts.test is not None:
        name = f"test/{facts.study.metric}"
        yield Tile(name, number(facts.test.metrics.get(name)), f"scored once, {facts.test.day}", "good")
    elif winner is not None:
        yield Tile("test part", "sealed" if facts.data.n_test else "none", "not scored yet" * bool(facts.data.n_test))
    yield Tile("trials", str(len(facts.trials)), _counts(facts))
    n_epochs = sum(len(rows) for rows in facts.history.epochs.values())
    yield Tile("search time", duration(facts.study.seconds), plural(n_epochs, "epoch"))


def _counts(facts: Facts) -> str:
    return ", ".join(f"{count} {state.value}" for state, count in facts.counts.items() if count)


# -------------------------------------------------------------------------------------------------- against something


def _against_default(facts: Facts) -> Text:
    """The winner against the base config of the file, as far as that one came."""
    winner, base = facts.winner, facts.base
    if winner is None or winner.values is not None:
        return ()
    if base is None:
        return ("The default configuration, that of the file without ", Code("space:"), ", was not tried as a trial.")
    if base == winner.number:
        return ("It ", Strong("is the default configuration"), " of the file: nothing that was tried is better.")
    own = facts.by_number[base]
    text: list[Inline] = ["Against the ", Strong("default configuration"), " of the file (", Trial(base), "): "]
    if own.state is TrialState.COMPLETE and own.value is not None and winner.value is not None:
        text += [f"{number(winner.value)} instead of {number(own.value)} in the search, "]
        text += [Strong(_difference(facts, winner.value - own.value)), *_same_seeds(facts, base), "."]
    elif (reached := facts.reached(base)) is not None:
        epochs = own.epochs
        then = facts.best_until(winner.number, epochs)
        text += [f"it was {own.state.value} after {plural(epochs, 'epoch')} at {number(reached)}"]
        if then is not None:
            text += [f", where the winner was at {number(then)}: ", Strong(_difference(facts, then - reached))]
        text += ["."]
    else:
        text += [f"it came to nothing ({own.reason or own.state.value})."]
    return tuple(text)


def _difference(facts: Facts, change: float) -> str:
    is_better = facts.sign * change < 0.0
    return f"{signed(change)}, {'better' if is_better else 'no better' if change == 0.0 else 'worse'}"


def _same_seeds(facts: Facts, base: int) -> Text:
    """What fresh seeds say of both, where they were asked about both."""
    confirmed = facts.standing.confirmed
    found = next((item for item in confirmed.candidates if item.trial == base), None) if confirmed else None
    if confirmed is None or found is None or found.mean is None or confirmed.winner.mean is None:
        return ()
    change = confirmed.winner.mean - found.mean
    tied = ", which could be chance" if base in confirmed.tied_with else ""
    return (f" ({signed(change)} on fresh seeds{tied})",)


def _against_guess(facts: Facts) -> Text:
    """The winner against guessing without a model, in the objective."""
    own = facts.winner.value if facts.winner else None
    value = facts.candidate.mean if facts.candidate else own
    guesses = guesses_of(facts)
    if value is None or facts.is_multi or not guesses:
        return ()
    parts = [f"{way} comes to {facts.metric} {number(guess)}" for way, guess in guesses]
    best = min((guess for _, guess in guesses), key=lambda guess: facts.sign * guess)
    text: list[Inline] = [f"Without a model, {listed(parts)}. "]
    if facts.sign * value >= facts.sign * best:
        text.append(Strong("The winner is no better than guessing: look at the data and the objective first."))
    return tuple(text)


def guesses_of(facts: Facts) -> list[tuple[str, float]]:
    """Ways to guess without a model, and what each comes to in the objective on the validation part."""
    named = {f"guessing the {way}": errors for way, errors in facts.data.baselines.items()}
    found = facts.examined.found.get("baseline")
    if found:
        named[str(found["name"])] = found["metrics"]
    return [(way, float(errors[facts.metric])) for way, errors in named.items() if errors.get(facts.metric) is not None]


# ------------------------------------------------------------------------------------------------------ doubts, advice


def _doubts(facts: Facts) -> Iterator[Text]:
    confirmed, counts = facts.standing.confirmed, facts.counts
    if confirmed is not None and confirmed.tied_with:
        n_seeds = len(confirmed.winner.values)
        others: list[Inline] = []
        for trial in confirmed.tied_with:
            others += [Trial(trial), ", "]
        why = (
            "one seed says nothing about the spread"
            if n_seeds == 1
            else "the differences are within their 95 % intervals"
        )
        few = f"; {plural(n_seeds, 'seed')} are few" if 1 < n_seeds <= FEW_SEEDS else ""
        more = f"tuner confirm --seeds {max(5, 2 * n_seeds)} {facts.options}"
        yield ("Not told apart from ", *others[:-1], f": {why}{few}. ", Code(more), " says more.")
    n_failed = counts[TrialState.FAILED]
    if n_failed:
        share = f"{n_failed} of {plural(len(facts.trials), 'trial')} failed"
        first = next(trial.number for trial in facts.trials if trial.state is TrialState.FAILED)
        yield (f"{share}; ", Code(f"tuner logs {first} {facts.options}"), " says why.")
    n_diverged = sum(trial.reason == "diverged" for trial in facts.trials)
    if n_diverged > len(facts.trials) / 4:
        yield (f"{n_diverged} of {len(facts.trials)} trials diverged: parts of the space cannot be trained.",)


def _advice(facts: Facts) -> Iterator[Text]:
    n_open = sum(facts.counts[state] for state in OPEN)
    if n_open:
        yield (f"The search is not over: {plural(n_open, 'trial')} to go on with; the same command does.",)
    if facts.study.stopped:
        yield ("The search ended before its budget: ", *coded(facts.study.stopped), ".")
    if facts.winner is None:
        return
    if not facts.is_multi and facts.standing.confirmed is None:
        yield (
            "Nothing is confirmed on fresh seeds: ",
            Code(f"tuner confirm {facts.options}"),
            " tells skill from luck.",
        )
    if facts.test is None and facts.data.n_test:
        yield (Code(f"tuner best {facts.options}"), " exports the weights, and scores them once on the test part.")
    wide = [edge for edge in edges_of(facts) if edge.is_to_widen]
    if wide:
        yield (Strong("Widen the space: "), *_edges(wide))


def _edges(edges: list[Edge]) -> Text:
    parts: list[Inline] = []
    for edge in edges:
        parts += [Code(edge.name), f" is best at its {edge.side} end ({scalar(edge.value)}); "]
    return (*parts[:-1], str(parts[-1]).removesuffix("; ") + ".")


def _params(facts: Facts) -> Table:
    winner = facts.winner
    assert winner is not None
    base = facts.default
    rows = [
        (Code(name), Strong(scalar(value)), scalar(base[name]) if name in base else NONE)
        for name, value in winner.params.items()
    ]
    return Table(("parameter", f"trial {winner.number}", "default"), rows, numeric=frozenset({1, 2}))
