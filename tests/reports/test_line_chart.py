"""A line chart is a small, whole SVG."""

import math
import xml.etree.ElementTree as ET

import pytest

from fairtrial.errors import UsageError
from fairtrial.reports.line_chart import Axes, Line, line_chart, ticks

AXES = Axes(title="a < b", x_label="x", y_label="y")


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter() if element.tag.endswith("text")]


def test_a_chart_is_valid_small_and_names_its_lines():
    line = Line(name="size & more", x=[0, 1, 2], y=[0.1, 0.2, 0.4], low=[0.05, 0.1, 0.3], high=[0.2, 0.3, 0.5])
    svg = line_chart([line, Line(name="other", x=[0, 1, 2], y=[0.2, math.nan, 0.1])], AXES)
    assert {"a < b", "size & more", "other", "x", "y"} <= set(texts(svg))
    assert svg.count("<polyline") == 3, "a gap breaks the line"
    assert len(svg) < 10_000
    assert "<script" not in svg


def test_places_may_have_names_and_a_value_may_be_marked():
    axes = Axes(title="t", x_label="x", y_label="y", x_names=["one", "two"], reference=0.05, percent=True)
    svg = line_chart([Line(name="l", x=[0, 1], y=[0.04, 0.06])], axes)
    assert {"one", "two"} <= set(texts(svg))
    assert any(label and label.endswith("%") for label in texts(svg))


def test_a_higher_value_stands_higher():
    svg = line_chart([Line(name="l", x=[0, 1], y=[1.0, 2.0])], AXES)
    points = next(e for e in ET.fromstring(svg).iter() if e.tag.endswith("polyline")).attrib["points"].split()
    (x0, y0), (x1, y1) = (tuple(map(float, point.split(","))) for point in points)
    assert x0 < x1
    assert y0 > y1


def test_a_single_point_can_be_drawn():
    assert "<circle" in line_chart([Line(name="l", x=[3], y=[-2.0])], AXES)


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]), (-7.0, 21.0, [-5.0, 0.0, 5.0, 10.0, 15.0, 20.0])]
)
def test_ticks_are_round(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_what_cannot_be_drawn_is_refused():
    for lines in ([], [Line(name="l", x=[0], y=[math.nan])], [Line(name="l", x=[0], y=[1.0])] * 9):
        with pytest.raises(UsageError, match="A chart takes"):
            line_chart(lines, AXES)
    with pytest.raises(UsageError, match="finite ends"):
        ticks(1.0, 1.0)
