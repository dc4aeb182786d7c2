import math
import re
from xml.etree import ElementTree

import pytest

from in2x.report.bars import bar_chart, share_chart
from in2x.report.dots import Dot, dot_chart
from in2x.report.markup import element
from in2x.report.plots import HEIGHT, Line, line_chart


def paths(chart: str) -> list[str]:
    return re.findall(r'<path d="([^"]*)" class="(?:curve|raw)', chart)


def test_line_runs_from_corner_to_corner():
    chart = line_chart("Loss", "nats", [Line("train", [1, 2, 3], [0.0, 1.0, 2.0])])
    # the y axis reaches from 0 to 2 + 6 %: 2 is placed at 1 / 1.06 of the height, measured from below
    top = round(HEIGHT * (1 - 2 / 2.12), 1)
    middle = round(HEIGHT * (1 - 1 / 2.12), 1)
    assert paths(chart) == [f"M0.0 {HEIGHT}.0h0L500.0 {middle}L1000.0 {top}"]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_break_the_line_and_are_counted(bad):
    chart = line_chart("Loss", "", [Line("train", [1, 2, 3, 4, 5], [1.0, 2.0, bad, 2.0, 1.0])])
    assert paths(chart)[0].count("M") == 2
    assert "1 values that are not finite are left out" in chart
    assert not re.search(r'"[^"]*\b(nan|inf)\b[^"]*"', chart)


def test_a_series_without_finite_values_says_so():
    assert "No finite values" in line_chart("Loss", "", [Line("train", [1, 2], [math.nan, math.inf])])


@pytest.mark.parametrize("lines", [[Line("a", [7], [3.0])], [Line("a", [1, 2], [0.0, 0.0])]])
def test_single_points_and_flat_lines_are_drawn(lines):
    assert paths(line_chart("Loss", "", lines))


def test_raw_values_lie_behind_their_trend():
    chart = line_chart("Loss", "", [Line("train", [1, 2], [0.0, 2.0], trend=[1.0, 1.5])])
    assert chart.index('class="raw s1"') < chart.index('class="curve s1"')
    assert "train: 1 to 1.5" in chart


def test_colours_come_from_classes_only():
    charts = [
        line_chart("Loss", "", [Line("a", [1, 2], [1.0, 2.0])]),
        dot_chart("chrF2", "", {"Base": [Dot(1.0, 0.5, 1.5)]}),
        bar_chart("Tasks", "", {"a": 1}),
        share_chart("Mixture", "", {"long": {"en": 1, "ja": 1}}),
    ]
    for chart in charts:
        assert not re.search(r'(fill|stroke)="|#[0-9a-fA-F]{3,6}\b', chart)


def test_every_chart_is_well_formed_and_described():
    charts = [
        line_chart("<Loss>", "nats", [Line("a&b", [1, 2], [1.0, 2.0])], marks=[(1, "<long>")], percent=True),
        dot_chart("chrF2", "", {"<Base>": [Dot(1.0, 0.5, 1.5, reading="<1>")]}, reference=2.0),
        bar_chart("Tasks", "", {"<a>": 1, "b": 3}),
        share_chart("Mixture", "", {"<long>": {"en": 1, "ja": 1}}),
    ]
    for chart in charts:
        figure = ElementTree.fromstring(element("div", chart))
        drawing = next(figure.iter("svg"))
        assert drawing.get("role") == "img"
        assert drawing.get("aria-label") == drawing.find("title").text


def test_dot_chart_places_value_and_interval():
    # the axis reaches from 10 to 20 and 6 % further at both ends: 15 lies in the middle
    chart = dot_chart("chrF2", "", {"SFT": [Dot(15.0, 10.0, 20.0, series=2, hollow=True, reading="MBR 15.0")]})
    assert 'x="50.00%"' in chart
    assert 'x1="5.36%" x2="94.64%"' in chart  # 0.6 / 11.2
    assert "estimate s2 hollow" in chart


def test_dot_chart_leaves_out_what_is_not_finite():
    chart = dot_chart("chrF2", "", {"SFT": [Dot(math.nan)], "RL": [Dot(3.0, math.nan, 4.0)]})
    assert chart.count('class="marker"') == 1
    assert 'class="whisker"' not in chart


def test_bars_are_sorted_and_the_rest_is_one_bar():
    chart = bar_chart("Reasons", "", {f"r{i}": i for i in range(1, 21)}, limit=4)
    names = re.findall(r'class="name">([^<]*)<', chart)
    assert names == ["r20", "r19", "r18", "17 others"]
    assert "153  (72.9 %)" in chart  # 1 + ... + 17 of 210


def test_shares_add_up_whatever_the_weights_sum_to():
    chart = share_chart("Mixture", "", {"long": {"en": 2, "ja": 6}})
    assert re.findall(r'class="onbar middle">([^<]*)<', chart) == ["25 %", "75 %"]
