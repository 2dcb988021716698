"""Plots put marks where the numbers say."""

from __future__ import annotations

import itertools
import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundbench.report.charts.dots import Layout, Row, dot_plot
from groundbench.report.charts.heatmap import MapStyle, heat_map
from groundbench.report.charts.lines import Axes, Series, line_chart
from groundbench.report.charts.scale import Scale, domain, tick_label
from groundbench.report.charts.svg import el
from groundbench.results.text.numbers import factor, interval, number, p_value, percent, signed_number, with_interval

FINITE = st.floats(-1e9, 1e9, allow_nan=False)


def marks(svg: str, class_: str) -> list[ElementTree.Element]:
    return [e for e in ElementTree.fromstring(svg).iter() if (e.get("class") or "").startswith(class_)]


@given(start=st.floats(-1e3, 1e3), span=st.floats(1e-3, 1e9), about=st.integers(1, 12))
def test_ticks_lie_inside_the_domain_and_are_evenly_spaced(start, span, about):
    low = start * span
    scale = Scale(low, low + span, 0, 100)
    ticks = scale.ticks(about)
    assert len(ticks) <= about + 2
    assert all(low - 1e-6 * span <= t <= low + span * (1 + 1e-6) for t in ticks)
    gaps = [b - a for a, b in itertools.pairwise(ticks)]
    assert all(math.isclose(g, gaps[0], rel_tol=1e-3) for g in gaps)


@given(values=st.lists(st.one_of(st.none(), FINITE), max_size=20))
def test_a_domain_holds_its_values(values):
    low, high = domain(values, (0.0,))
    assert low <= 0 <= high
    assert low < high
    assert all(low <= v <= high for v in values if v is not None)


@given(value=FINITE, decimals=st.integers(0, 4))
def test_numbers_keep_their_value_and_never_show_minus_zero(value, decimals):
    text = number(value, decimals)
    back = float(text.replace("\u2212", "-").replace("\u2009", ""))
    assert abs(back - value) <= 0.5 * 10**-decimals + 1e-6
    assert not (text.startswith("\u2212") and back == 0)


def test_unknown_numbers_stay_unknown():
    assert number(None) is signed_number(None) is p_value(None) is percent(None) is with_interval(None, 1, 2) is None
    assert interval(1.0, None) is None


@pytest.mark.parametrize(("p", "text"), [(0.0009, "< 0.001"), (0.05, "0.050"), (1.0, "1.000"), (1 / 21, "0.048")])
def test_p_values(p, text):
    assert p_value(p) == text


@pytest.mark.parametrize(
    ("nats", "text"), [(0.0, "1.0"), (math.log(7.3), "7.3"), (math.log(141), "140"), (math.log(12345), "12\u2009000")]
)
def test_factor_is_the_exponential(nats, text):
    assert factor(nats) == text


def test_tick_labels_have_the_decimals_of_their_step():
    assert tick_label(0.25, 0.25) == "0.25"
    assert tick_label(-1500, 500) == "\u22121\u2009500"
    assert tick_label(-1e-17, 0.5) == "0.0"


def test_a_line_breaks_where_a_value_is_missing():
    s = Series("a", [0, 1, 2, 3, 4], [0.0, 1.0, None, 1.0, 0.0])
    svg = line_chart([s], Axes("x", "y"), "t", "d")
    assert len(marks(svg, "line c1")) == 2
    assert len(marks(svg, "mark c1")) == 4


def test_a_line_chart_is_linear_in_both_axes():
    s = Series("a", [0, 10, 40], [1.0, 2.0, 5.0])
    dots = marks(line_chart([s], Axes("x", "y"), "t", "d"), "mark")
    x, y = ([float(d.get(k)) for d in dots] for k in ("cx", "cy"))
    assert (x[1] - x[0]) / (x[2] - x[0]) == pytest.approx(0.25, abs=2e-3)
    assert (y[0] - y[1]) / (y[0] - y[2]) == pytest.approx(0.25, abs=2e-3)
    assert y[0] > y[2]  # larger is higher


def test_a_band_covers_its_interval():
    s = Series("a", [0, 1], [1.0, 2.0], [0.5, 1.5], [1.5, 2.5])
    svg = line_chart([s], Axes("x", "y"), "t", "d")
    (band,) = marks(svg, "band")
    points = [tuple(map(float, p.split())) for p in band.get("d")[1:-1].split("L")]
    dots = [(float(d.get("cx")), float(d.get("cy"))) for d in marks(svg, "mark")]
    for (x, y), (_, high), (_, low) in zip(dots, points[:2], reversed(points[2:]), strict=True):
        assert high < y < low  # pixels grow downwards
        assert x in [p[0] for p in points]


def test_labels_at_line_ends_do_not_overlap():
    close = [Series(f"s{i}", [0, 1], [0.0, 1.0 + i * 1e-3], colour=i + 1) for i in range(5)]
    ys = sorted(float(e.get("y")) for e in marks(line_chart(close, Axes("x", "y"), "t", "d"), "name"))
    assert all(b - a >= 13.5 for a, b in itertools.pairwise(ys))


def test_rows_share_one_scale_and_unknown_rows_have_no_mark():
    rows = [Row("a", 1.0, 0.5, 1.5, other=3.0), Row("b", 2.0), Row("c", None)]
    svg = dot_plot(rows, Layout("nats"), "t", "d")
    a, b = (float(e.get("cx")) for e in marks(svg, "mark"))
    (ring,) = (float(e.get("cx")) for e in marks(svg, "ring"))
    assert (b - a) == pytest.approx(ring - b, abs=0.2)
    assert "not measured" in svg


def test_heat_map_shade_is_the_value_and_missing_heads_are_hollow():
    heads = [(1, 0), (1, 1), (2, 0)]
    svg = heat_map(heads, {(1, 0): 0.25, (2, 0): -0.5}, MapStyle("effect", 1.0, signed=True), "t", "d")
    cells = [e for e in marks(svg, "heat") if e.find("title") is not None]
    assert [e.get("fill-opacity") for e in cells] == ["0.250", "0.500"]
    assert "minus" in cells[1].get("class")
    assert len(marks(svg, "hollow")) == 1
    first, second = float(cells[0].get("y")), float(cells[1].get("y"))
    assert second < first  # layer 2 stands above layer 1


def test_strings_in_svg_are_escaped():
    assert el("text", "<b>&", class_='"x') == '<text class="&quot;x">&lt;b&gt;&amp;</text>'


def test_labels_of_ticks_never_run_into_each_other() -> None:
    ticks = (4.5, 7.5, 10.5, 25.5, 26.5)
    line = Series("a", ticks, (0.0, 0.1, 0.2, 0.3, 0.4))
    labels = tuple(f"{t:g}" for t in ticks)
    drawing = line_chart([line], Axes("x", "y", x_ticks=ticks, x_labels=labels), "t", "d")
    shown = [e.text for e in marks(drawing, "tick") if e.get("text-anchor") == "middle"]
    assert shown == ["4.5", "7.5", "10.5", "25.5"]
