"""Draw benchmarks/results/*.json into docs/images/, and write the table of figures into docs/speed.md.

    python benchmarks/plots.py [--results DIR] [--docs DIR] [--format svg|png]

Nothing is measured here, and no figure is typed by hand. A benchmark that has no file is left out. What is read, beside
the `summary` names of _claims.py:

  search         rows: side, trials, wall_s
  training_loop  rows: model, batch_size, n, tuner, bare, per_sample, products
  driver         rows that have trials and ask_ms (and `sampler`, when there are several)
  lanes          rows: model, lanes, speedup (over one lane; and `device`)
  scaling        rows: workers, epochs_per_s
  memory         rows: workers, rss_mb (of the driver and all workers together)

The pictures are the same byte for byte as long as the figures are (one version of matplotlib).
"""

from __future__ import annotations

import argparse
import re
import statistics
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from _claims import table
from _machine import Result, load
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(<!-- written by plots.py: (\w+)(?:, ([^>]*))? -->\n).*?(<!-- end -->)", re.DOTALL)
"""`figures`, or the name of a plot and what it shows; up to the end mark."""
OURS, BY_HAND, PEER, LIMIT = "#1f5fbf", "#9aa4b2", "#d08a3c", "#20242a"
SERIES = (OURS, PEER, "#4a9d7c", BY_HAND, "#8c5fb0", LIMIT)
STYLE = {
    "svg.hashsalt": "tuner",
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e3e6ea",
    "figure.facecolor": "white",
    "legend.frameon": False,
}
SIDES = {
    "tuner": ("tuner", OURS),
    "script": ("script by hand\n(Optuna, DataLoader)", BY_HAND),
    "ray": ("Ray Tune {ray_version}\n(ASHA, 2 workers)", PEER),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    parser.add_argument("--format", choices=("svg", "png"), default="svg")
    options = parser.parse_args()
    results = {path.stem: load(path) for path in sorted(options.results.glob("*.json"))}
    for path in draw(results, options.docs / "images", options.format):
        print(f"wrote {path}")
    page = options.docs / "speed.md"
    page.write_text(with_figures(page.read_text(encoding="utf-8"), results), encoding="utf-8")
    print(f"wrote {page}")


def draw(results: Mapping[str, Result], folder: Path, form: str = "svg") -> list[Path]:
    """Every picture that there are figures for."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with mpl.rc_context(STYLE):
        for name, plot in PLOTS.items():
            figure = plot(results[name]) if name in results else None
            if figure is not None:
                path = folder / f"{_file_name(name)}.{form}"
                metadata = {"Date": None, "Creator": None} if form == "svg" else {}
                figure.savefig(path, metadata=metadata, bbox_inches="tight", pad_inches=0.15)
                paths.append(path)
    return paths


def with_figures(page: str, results: Mapping[str, Result]) -> str:
    """The page with its marked blocks written anew: the figures, and the pictures that there are."""

    def block(found: re.Match[str]) -> str:
        begin, name, title, end = found.groups()
        if name == "figures":
            return f"{begin}\n{table(results)}\n\n{machines(results)}\n\n{end}"
        shown = f"![{title}](images/{_file_name(name)}.svg)" if has_picture(name, results) else "*Not measured yet.*"
        return f"{begin}\n{shown}\n\n{end}"

    return BLOCK.sub(block, page)


def has_picture(name: str, results: Mapping[str, Result]) -> bool:
    return name in results and PLOTS[name](results[name]) is not None


def _file_name(name: str) -> str:
    return name.replace("_", "-")


def machines(results: Mapping[str, Result]) -> str:
    """Which machine and versions gave which figures."""
    by_machine: dict[str, list[str]] = {}
    for name, result in results.items():
        by_machine.setdefault(_machine(result), []).append(f"`{name}`")
    lines = [f"- {', '.join(names)}: {machine}" for machine, names in by_machine.items()]
    return "Measured on\n\n" + "\n".join(lines) if lines else "Nothing has been measured yet."


def _machine(result: Result) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result.header["versions"].items())
    return f"{result.header['machine']}, {result.header['cores']} cores; {versions}"


# ----------------------------------------------------------------------------------------------------------- the plots


def plot_search(result: Result) -> Figure | None:
    """Seconds per trial of each side; the whole at the end of the bar."""
    sides = [side for side in SIDES if any(row["side"] == side for row in result.rows)]
    if not sides:
        return None
    figure, axes = _figure(result, height=0.9 + 0.75 * len(sides), n=f"{_times(result.rows, 'side')} of each")
    for place, side in enumerate(reversed(sides)):
        rows = [row for row in result.rows if row["side"] == side]
        wall_s, trials = statistics.median(row["wall_s"] for row in rows), rows[0]["trials"]
        axes.barh(place, wall_s / trials, color=SIDES[side][1], height=0.62)
        axes.text(wall_s / trials, place, f"  {wall_s:.0f} s for {trials} trials", va="center")
    ray_version = result.summary.get("ray_version") or ""
    axes.set_yticks(range(len(sides)), [SIDES[side][0].format(ray_version=ray_version) for side in reversed(sides)])
    axes.set_xlabel("seconds per trial (wall time of the whole process / trials); less is better")
    axes.set_xlim(right=axes.get_xlim()[1] * 1.28)
    axes.grid(visible=False, axis="y")
    axes.set_title("One search, Fashion-MNIST, 10 epochs of 30 batches a trial", loc="left")
    return figure


def plot_training_loop(result: Result) -> Figure:
    """One panel a network, one group of bars a batch size."""
    models = list(dict.fromkeys(row["model"] for row in result.rows))
    figure, panels = _figures(result, len(models), n=f"median of {result.rows[0]['n']} rounds, one thread")
    bars = (
        ("per_sample", "DataLoader, per sample", PEER),
        ("bare", "bare tensor loop", BY_HAND),
        ("tuner", "tuner", OURS),
    )
    for axes, model in zip(panels, models, strict=True):
        rows = [row for row in result.rows if row["model"] == model]
        for offset, (name, label, color) in enumerate(bars):
            places = [place + 0.27 * (offset - 1) for place in range(len(rows))]
            axes.bar(places, [row[name] / 1000 for row in rows], width=0.25, color=color, label=label)
        _limits(axes, rows)
        axes.set_xticks(range(len(rows)), [str(row["batch_size"]) for row in rows])
        axes.set_title(model)
        axes.set_xlabel("batch size")
        axes.grid(visible=False, axis="x")
    panels[0].set_ylabel("thousand samples per second")
    _shared_legend(figure, panels)
    return figure


def _limits(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    for place, row in enumerate(rows):
        if row["products"] is not None:
            line = [place - 0.42, place + 0.42], [row["products"] / 1000] * 2
            axes.plot(*line, color=LIMIT, linewidth=1.6, label="its matrix products alone" if place == 0 else None)


def plot_driver(result: Result) -> Figure | None:
    """Time of one ask over the size of the study."""
    rows = [row for row in result.rows if row.get("ask_ms") is not None and row.get("trials") is not None]
    if not rows:
        return None
    figure, axes = _figure(result, height=3.4)
    _lines(axes, rows, x="trials", y="ask_ms", series="sampler")
    axes.set_xlabel("trials in the study")
    axes.set_ylabel("one ask, ms")
    axes.set_ylim(bottom=0)
    axes.set_title("Time to decide what to try next", loc="left")
    return figure


def plot_lanes(result: Result) -> Figure | None:
    """Speed-up of K trials in one program over one after the other."""
    rows = [row for row in result.rows if row.get("speedup") is not None]
    if not rows:
        return None
    figure, axes = _figure(result, height=3.8)
    _lines(axes, rows, x="lanes", y="speedup", series="model")
    axes.axhline(1.0, color=LIMIT, linewidth=1)
    axes.set_xscale("log", base=2)
    lanes = sorted({row["lanes"] for row in rows})
    axes.set_xticks(lanes, [str(k) for k in lanes])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("lanes (trials trained as one program)")
    axes.set_ylabel("samples/s over one lane")
    axes.set_title("Lanes", loc="left")
    return figure


def plot_scaling(result: Result) -> Figure | None:
    """Epochs per second of so many workers."""
    rows = [row for row in result.rows if row.get("epochs_per_s") is not None]
    if not rows:
        return None
    figure, axes = _figure(result, width=4.6, height=3.2, n=f"median of {_times(rows, 'workers')} runs each")
    _bars(axes, rows, x="workers", y="epochs_per_s", form="{:.2f}")
    axes.set_xlabel("workers")
    axes.set_ylabel("epochs per second")
    axes.set_title("Two workers against one", loc="left")
    return figure


def plot_memory(result: Result) -> Figure | None:
    """Resident size of a search over its workers."""
    rows = [row for row in result.rows if row.get("rss_mb") is not None and row.get("workers") is not None]
    if not rows:
        return None
    figure, axes = _figure(result, width=4.6, height=3.2)
    _bars(axes, rows, x="workers", y="rss_mb", form="{:.0f}")
    axes.set_xlabel("workers")
    axes.set_ylabel("resident, MB")
    axes.set_title("Memory of a whole search", loc="left")
    return figure


PLOTS: dict[str, Callable[[Result], Figure | None]] = {
    "search": plot_search,
    "training_loop": plot_training_loop,
    "driver": plot_driver,
    "lanes": plot_lanes,
    "scaling": plot_scaling,
    "memory": plot_memory,
}


def _lines(axes: Axes, rows: Sequence[Mapping[str, Any]], *, x: str, y: str, series: str) -> None:
    names = list(dict.fromkeys(row.get(series) for row in rows))
    for name, color in zip(names, _colors(len(names)), strict=True):
        mine = sorted((row[x], row[y]) for row in rows if row.get(series) == name)
        axes.plot(*zip(*mine, strict=True), marker="o", color=color, label=name)
    if len(names) > 1:
        axes.legend()


def _bars(axes: Axes, rows: Sequence[Mapping[str, Any]], *, x: str, y: str, form: str) -> None:
    names = sorted({row[x] for row in rows})
    values = [statistics.median(row[y] for row in rows if row[x] == name) for name in names]
    drawn = axes.bar(range(len(names)), values, width=0.6, color=OURS)
    axes.bar_label(drawn, [form.format(value) for value in values], padding=2)
    axes.set_xticks(range(len(names)), [str(name) for name in names])
    axes.set_ylim(top=max(values) * 1.15)
    axes.grid(visible=False, axis="x")


def _colors(n: int) -> list[str]:
    return [SERIES[i % len(SERIES)] for i in range(n)]


def _figure(result: Result, *, width: float = 8.0, height: float, n: str = "") -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    _caption(figure, result, n, width)
    return figure, axes


def _figures(result: Result, n_panels: int, *, n: str) -> tuple[Figure, list[Axes]]:
    width = 1.0 + 2.6 * n_panels
    figure = Figure(figsize=(width, 3.8), layout="constrained")
    panels = figure.subplots(1, n_panels, squeeze=False)
    _caption(figure, result, n, width)
    return figure, list(panels[0])


def _caption(figure: Figure, result: Result, n: str, width: float) -> None:
    """Machine, versions, n and command below the axes."""
    known = result.header
    versions = known["versions"]
    machine = f"{known['machine']}, {known['cores']} cores, torch {versions['torch']}, optuna {versions['optuna']}"
    lines = textwrap.wrap("; ".join(filter(None, (machine, n, known["command"]))), width=int(width * 15))
    figure.text(0.0, -0.02, "\n".join(lines), ha="left", va="top", fontsize=8.5, color="#5a636e")


def _shared_legend(figure: Figure, panels: Iterable[Axes]) -> None:
    found: dict[str, Any] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    figure.legend(found.values(), found.keys(), loc="outside upper left", ncols=len(found))


def _times(rows: Sequence[Mapping[str, Any]], key: str) -> int:
    """How often the first of `key` was measured."""
    return sum(row[key] == rows[0][key] for row in rows)


if __name__ == "__main__":
    main()
