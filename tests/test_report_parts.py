"""What a report is made of: scales, charts, blocks, and what is said of a study, on small things made up here."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.report import html, markdown, plain
from tuner.report.blocks import (
    Bullets,
    Code,
    Figure,
    Fold,
    Listing,
    Notice,
    Page,
    Paragraph,
    Section,
    Strong,
    Table,
    Tile,
    Tiles,
    Trial,
)
from tuner.report.chart import Chart, Label
from tuner.report.facts import level_of, losses_at, values_range
from tuner.report.scales import Categories, Linear, Log
from tuner.report.text import MINUS, duration, listed, rounded, scalar, spread

HOSTILE = """</script><script>alert(1)</script><img src=x onerror=alert(2)>"'`|*_[a](b)&amp;\u2028"""

ranges = st.tuples(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(ranges, st.integers(2, 6))
def test_ticks_of_a_range_are_inside_it_in_order_and_not_too_many(bounds: tuple[float, float], n_ticks: int) -> None:
    ticks = Linear(*bounds, n_ticks=n_ticks).ticks()
    places = [tick.place for tick in ticks]
    assert places == sorted(places)
    assert all(-1e-6 <= place <= 1 + 1e-6 for place in places)
    assert 1 <= len(ticks) <= n_ticks + 2


@given(st.floats(-8, 5), st.floats(0.05, 9))
def test_ticks_of_a_logarithmic_range_are_inside_it(power: float, decades: float) -> None:
    ticks = Log(10**power, 10 ** (power + decades)).ticks()
    assert ticks
    assert all(-1e-6 <= tick.place <= 1 + 1e-6 for tick in ticks)
    assert len(ticks) <= 7


def test_ticks_name_round_numbers_and_times() -> None:
    assert [tick.label for tick in Linear(0.0, 1.0).ticks()] == ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert [tick.label for tick in Log(1e-5, 1e-1).ticks()] == [f"1e{MINUS}5", f"1e{MINUS}4", "0.001", "0.01", "0.1"]
    assert [tick.label for tick in Linear(0.0, 400.0, is_time=True, n_ticks=4).ticks()] == [
        "0 s",
        "2 min",
        "4 min",
        "6 min",
    ]
    assert [tick.label for tick in Linear(1.0, 3.0, is_whole=True).ticks()] == ["1", "2", "3"]
    assert [tick.label for tick in Categories(("a", "b")).ticks()] == ["a", "b"]


def test_a_mean_is_shown_to_the_digits_that_its_deviation_makes_sense_of() -> None:
    assert spread(0.981893, 0.0019697) == "0.9819 ± 0.0020"
    assert spread(12.3456, 1.23) == "12.3 ± 1.2"
    assert spread(0.5, None) == "0.5"
    assert spread(0.97, 0.0) == "0.97 ± 0"


def test_times_and_lists_are_words() -> None:
    assert [duration(seconds) for seconds in (0.012, 0.84, 42.3, 187.0, 7500.0)] == [
        "12 ms",
        "0.8 s",
        "42 s",
        "3 min 07 s",
        "2 h 05 min",
    ]
    assert [scalar(value) for value in (None, True, 1e-5, "off")] == ["null", "true", "1e-05", "off"]
    assert [rounded(value) for value in (1 / 3, 33333.3, 1e-9)] == ["0.333", "33300", "1e-09"]
    assert listed(["a", "b", "c"]) == "a, b and c"


def test_trials_are_compared_after_the_latest_epoch_that_enough_of_them_came_to() -> None:
    def curve(last: int) -> dict[int, float]:
        return dict.fromkeys(range(1, last + 1), 0.5)

    curves = {number: curve(9 if number < 10 else 3 if number < 30 else 1) for number in range(90)}
    assert level_of(curves, n_parameters=3) == 3
    assert level_of(curves, n_parameters=1) == 3
    assert level_of(curves, n_parameters=9) == 1
    assert level_of({0: curve(4)}, n_parameters=3) == 4
    assert level_of({}, n_parameters=3) == 0


def test_a_trial_that_came_to_nothing_counts_as_the_worst() -> None:
    assert losses_at({0: 0.9, 1: None, 2: 0.5}, sign=-1.0) == {0: -0.9, 1: -0.5, 2: -0.5}
    assert losses_at({0: None}, sign=1.0) == {}


def test_a_range_leaves_out_what_is_far_worse_and_never_the_best() -> None:
    low, high = values_range([0.9] * 50 + [0.8] * 48 + [1e9, 0.1], maximize=False)
    assert low < 0.1
    assert high < 2.0
    low, high = values_range([0.5], maximize=True)
    assert low < 0.5 < high


def small_chart() -> Chart:
    chart = Chart(x=Linear(0.0, 10.0), y=Linear(0.0, 1.0), x_title="epoch", y_title="val/accuracy", name="curves")
    chart.line([(0.0, 0.0), (10.0, 1.0)], "line done", 3)
    chart.line([(5.0, 0.5)], "line done", 4)
    chart.dot(5.0, 0.5, "winner", 3, title=HOSTILE)
    chart.box((0.0, 0.0), (5.0, 0.5), "bar")
    chart.label(Label(5.0, 0.5, HOSTILE, "end"))
    return chart


def test_a_chart_places_marks_in_its_box() -> None:
    text = small_chart().html()
    assert '<path class="line done" data-t="3" d="M0 10000L10000 0"/>' in text
    assert '<path class="line done point" data-t="4" d="M5000 5000h.1"/>' in text
    assert '<path class="fill bar" d="M0 5000h5000v5000h-5000z"/>' in text
    assert 'style="left:50.00%;top:50.00%"' in text


def test_numbers_far_outside_of_a_chart_stay_small() -> None:
    chart = Chart(x=Linear(0.0, 1.0), y=Linear(0.0, 1.0))
    chart.line([(0.0, 0.0), (0.5, 1e300), (1.0, -1e300)], "line")
    numbers = [abs(int(number)) for number in re.findall(r"-?\d+", chart._marks[0])]
    assert max(numbers) <= 30000


def hostile_page(hostile: str = HOSTILE) -> Page:
    """A page where everything that a user can name is hostile."""
    table = Table((hostile, "b"), [(hostile, Code(hostile)), (Strong(hostile), Trial(1))], shades={(0, 1): 0.7})
    blocks = (
        Paragraph((hostile, Strong(hostile), Code(hostile), Trial(0)), is_lead=True),
        Notice("warning", (hostile,)),
        Bullets(((hostile,),)),
        table,
        Listing(hostile + "\n```", "yaml"),
        Tiles((Tile(hostile, hostile, hostile, "good"),)),
        Figure(hostile, small_chart(), (hostile,), table),
        Fold(hostile, (table,), is_kept=True),
    )
    trials = [{"n": 0, "v": hostile, "s": hostile, "p": [[hostile, hostile]]}]
    return Page(hostile, (hostile,), (Section("one", hostile, blocks),), trials, (hostile,))


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(text: str) -> Elements:
    elements = Elements()
    elements.feed(text)
    return elements


def test_nothing_that_a_user_names_becomes_markup() -> None:
    text = html.render(hostile_page())
    elements = parsed(text)
    tags = [tag for tag, _ in elements.found]
    assert tags.count("script") == 2
    assert "img" not in tags
    assert not [attribute for _, attributes in elements.found for attribute in attributes if attribute.startswith("on")]
    assert HOSTILE in "".join(elements.text)


def test_the_data_of_the_page_comes_back_as_it_was() -> None:
    page = hostile_page()
    text = html.render(page)
    (data,) = re.findall(r'<script type="application/json" id="described">(.*?)</script>', text, re.DOTALL)
    assert json.loads(data) == page.trials


def test_the_page_allows_itself_no_request_and_no_other_script() -> None:
    text = html.render(hostile_page())
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-")
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)""", html.render(Page("t", (), ())))


def test_markdown_keeps_what_a_user_names_as_text() -> None:
    text = markdown.render(hostile_page(HOSTILE.replace("`", "'")))
    outside = re.sub(r"(`{1,4}).*?\1", "", text, flags=re.DOTALL)
    assert not re.findall(r"(?<!\\)<(?:script|img)", outside)
    for line in re.findall(r"^\|.*$", text, re.MULTILINE):
        assert len(re.findall(r"(?<!\\)\|", line)) in (3, 4), line


def test_text_for_terminals_has_every_cell() -> None:
    page = Page("t", (), (Section("a", "Studies", (Table(("x", "n"), [("long name", "1")], frozenset({1})),)),))
    assert plain.render(page) == "Studies:\n  x          n\n  long name  1"


@pytest.mark.parametrize("value", (math.inf, -math.inf))
def test_a_value_that_is_not_finite_has_a_place_outside(value: float) -> None:
    chart = Chart(x=Linear(0.0, 1.0), y=Linear(0.0, 1.0))
    chart.dot(0.5, value, "done")
    assert "nan" not in chart.html()


def test_code_with_backticks_ends_where_it_ends() -> None:
    assert markdown.text_markdown((Code("a"), " ", Code("a`b"), " ", Code("`a``"))) == "`a` ``a`b`` ``` `a`` ```"
    assert markdown.block_markdown(Listing("a: ````", "yaml")) == "`````yaml\na: ````\n`````"
    assert markdown.block_markdown(Listing("a: 1")) == "```\na: 1\n```"
