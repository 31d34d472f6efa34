"""Compare the confirmed winner with the luckiest trial, and what each promises with the truth.

Searches that differ in their seed, and so in their split too. Each ends with two winners: the trial with the best value
(one seed, chosen by it), and the one that `confirm` chose by the mean over fresh seeds. Both are exported, and scored
on the test part, which neither has seen. Printed for each search: the search's best value, the mean and deviation over
fresh seeds of the confirmed one, both test scores; then means over all searches with their standard errors:

    gain        how much better the confirmed winner's test score is than the single-seed winner's
    gap search  |best value of the search - test score of its trial|: how far off a tool is that prints the best value
    gap own     |the confirmed winner's value in the search - test score of the confirmed winner|
    gap mean    |mean over fresh seeds - test score of the confirmed winner|
    better by   gap own - gap mean: how much nearer to the truth the mean is than the search's value, of one winner

`--data winequality.csv` (11 numeric columns, target `quality`, UCI's white wines) adds a regression; without it only
scikit-learn's digits are searched. Everything trains in this process, on one core.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from _machine import header, out_option, save

from tuner.execution.inline import InlineExecutor
from tuner.workflows import best as best_workflow
from tuner.workflows.best import Export, best
from tuner.workflows.search import SearchRequest, search

DIGITS = """
objective: {metric: accuracy}
data: {kind: digits, batch_size: 32, split: {val: 0.1, test: 0.4}}
model: {kind: mlp, depth: 1, width: 32}
train: {epochs: 12, device: cpu}
"""
WINE = """
objective: {metric: rmse}
data: {kind: csv, path: "%s", target: quality, task: regression, batch_size: 64, split: {val: 0.05, test: 0.4}}
model: {kind: mlp, depth: 1, width: 32}
train: {epochs: 12, device: cpu}
"""
COMMON = """
space:
  optimizer.kind: [adamw, sgd]
  optimizer.lr: {low: 1e-4, high: 1e-1, log: true}
  optimizer.weight_decay: {low: 1e-6, high: 1e-1, log: true}
  model.depth: {low: 1, high: 3}
  model.width: {low: 8, high: 128, log: true}
  model.dropout: {low: 0.0, high: 0.5}
search: {workers: 1, threads: 1}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One search."""

    data: str
    seed: int
    maximize: bool
    single: int
    """The trial with the best value."""
    confirmed: int
    search_value: float
    own_value: float
    """The confirmed winner's value in the search."""
    mean: float
    std: float
    """Over the fresh seeds; 0 for a single one."""
    single_test: float
    confirmed_test: float
    is_tied: bool
    """Whether the report says that other candidates may be as good."""

    @property
    def gain(self) -> float:
        difference = self.confirmed_test - self.single_test
        return difference if self.maximize else -difference

    @property
    def gap_search(self) -> float:
        return abs(self.search_value - self.single_test)

    @property
    def gap_own(self) -> float:
        return abs(self.own_value - self.confirmed_test)

    @property
    def gap_mean(self) -> float:
        return abs(self.mean - self.confirmed_test)


def main() -> None:
    """Print a line for each search, and the means last."""
    options = _options()
    spaces = {"digits": DIGITS}
    if options.data is not None and options.data.is_file():
        spaces["winequality"] = WINE % options.data.resolve()
    torch.set_num_threads(1)
    print(
        f"{header()}\nn         {options.searches} searches of {options.trials} trials for each of {', '.join(spaces)}"
    )
    print(f"confirm   the best {options.top} on {options.seeds} fresh seeds each; folds: {options.folds or 'none'}\n")
    if "winequality" not in spaces:
        print("winequality is left out: no file; name it with --data winequality.csv\n")
    print("data         seed  single  confirmed   search     mean      std  test single  test confirmed  tied")
    rows = [_measured(data, text, seed, options) for data, text in spaces.items() for seed in range(options.searches)]
    summary: dict[str, float] = {}
    print()
    for data in spaces:
        summary |= _summary(data, [row for row in rows if row.data == data])
    figures = [
        {**asdict(row), "gain": row.gain, "gap_search": row.gap_search, "gap_mean": row.gap_mean} for row in rows
    ]
    save(options.out, rows=figures, summary=summary)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="FILE.csv", help="winequality.csv; left out when it is not there")
    parser.add_argument("--searches", type=int, default=10, help="searches on each data set (default: 10)")
    parser.add_argument("--trials", type=int, default=20, help="trials of each search (default: 20)")
    parser.add_argument("--top", type=int, default=3, help="trials that are confirmed (default: 3)")
    parser.add_argument("--seeds", type=int, default=2, help="fresh seeds of each (default: 2)")
    parser.add_argument("--folds", type=int, metavar="K", help="data.split.folds (default: one validation part)")
    out_option(parser)
    return parser.parse_args()


def _measured(data: str, space: str, seed: int, options: argparse.Namespace) -> Found:
    confirm = f"confirm: {{top: {options.top}, seeds: {options.seeds}}}"
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        Path("space.yaml").write_text(f"study: {data}\nseed: {seed}\n{space}{COMMON}{confirm}\n", encoding="utf-8")
        overrides = {"search.trials": options.trials, "data.split.folds": options.folds}
        request = SearchRequest(space="space.yaml", overrides={k: v for k, v in overrides.items() if v is not None})
        status = search(request, None, InlineExecutor()).status
        found = _found(data, seed, status.study.maximize)
    _print(found)
    return found


def _found(data: str, seed: int, maximize: bool) -> Found:
    best_workflow.ProcessExecutor = InlineExecutor  # type: ignore[misc, assignment]  # starting one takes seconds
    winner = best()
    confirmed = winner.bundle.confirmed
    if confirmed is None:
        sys.exit("the search was not confirmed: no candidate came through all of its runs")
    best_of_search = max if maximize else min
    candidates = confirmed["candidates"]
    value = best_of_search(item["search_value"] for item in candidates)
    number = min(item["trial"] for item in candidates if item["search_value"] == value)
    single = best(trial=number)
    return Found(
        data=data,
        seed=seed,
        maximize=maximize,
        single=number,
        confirmed=winner.bundle.trial,
        search_value=value,
        own_value=confirmed["search_value"],
        mean=confirmed["mean"],
        std=confirmed["std"] or 0.0,
        single_test=_test(single),
        confirmed_test=_test(winner),
        is_tied=bool(confirmed["tied_with"]),
    )


def _test(export: Export) -> float:
    value = export.bundle.metrics[export.bundle.metric.replace("val/", "test/")]
    assert value is not None
    return value


def _print(row: Found) -> None:
    tied = "yes" if row.is_tied else "no"
    print(
        f"{row.data:<12} {row.seed:>4}  {row.single:>6}  {row.confirmed:>9}  {row.search_value:>7.4f}  "
        f"{row.mean:>7.4f}  {row.std:>7.4f}  {row.single_test:>11.4f}  {row.confirmed_test:>14.4f}  {tied:>4}",
        flush=True,
    )


def _summary(data: str, rows: Sequence[Found]) -> dict[str, float]:
    figures = {
        "gain": [row.gain for row in rows],
        "gap_search": [row.gap_search for row in rows],
        "gap_own": [row.gap_own for row in rows],
        "gap_mean": [row.gap_mean for row in rows],
        "better_by": [row.gap_own - row.gap_mean for row in rows],
    }
    texts, found = [], {}
    for name, values in figures.items():
        mean = statistics.fmean(values)
        error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
        texts.append(f"{name.replace('_', ' ')} {mean:+.4f} +- {error:.4f}")
        found |= {f"{data}_{name}": mean, **({} if math.isnan(error) else {f"{data}_{name}_error": error})}
    changed = sum(row.single != row.confirmed for row in rows)
    print(f"{data}: {', '.join(texts)}")
    print(f"  another winner in {changed} of {len(rows)} searches, ties named in {sum(row.is_tied for row in rows)}")
    return found


if __name__ == "__main__":
    main()
