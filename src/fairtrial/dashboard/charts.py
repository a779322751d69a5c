"""Charts of the pages, from points that the views have written out: no arithmetic, light or dark by the page's own theme."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

Rows = Sequence[dict[str, Any]]
TREATED, HELD = "#0f8f7a", "#8a94a3"
GROUPS = alt.Scale(domain=["treatment", "control"], range=[TREATED, HELD])
INKS = (TREATED, "#c07a1a", "#5b6fb5", "#a3527f", "#6d747d", "#2f8fb8")
HEIGHT = 280
WHOLE = alt.Axis(tickMinStep=1, format="d")
"""For days and periods, which are counted."""


def _data(rows: Rows) -> alt.Data:
    return alt.Data(values=list(rows))


def lines(rows: Rows, *, y: str, title: str, group: str = "group", zero: bool = False) -> Any:
    """One line a group over days."""
    names = list(dict.fromkeys(str(row[group]) for row in rows))
    scale = GROUPS if set(names) <= {"treatment", "control"} else alt.Scale(range=INKS)
    return (
        alt.Chart(_data(rows), height=HEIGHT)
        .mark_line(point=alt.OverlayMarkDef(size=18), strokeWidth=2)
        .encode(
            x=alt.X("date:T", title=None),
            y=alt.Y(f"{y}:Q", title=title, scale=alt.Scale(zero=zero), axis=alt.Axis(tickCount=5)),
            color=alt.Color(f"{group}:N", title=None, scale=scale, legend=alt.Legend(orient="top")),
            tooltip=[alt.Tooltip("date:T"), alt.Tooltip(f"{group}:N"), alt.Tooltip(f"{y}:Q", format=",.4~f", title=title)],
        )
    )


def band(rows: Rows, *, title: str, x: str = "date:T", x_title: str | None = None) -> Any:
    """An effect over time with its interval, and the line of no effect."""
    axis = alt.Axis() if x.endswith(":T") else WHOLE
    base = alt.Chart(_data(rows)).encode(x=alt.X(x, title=x_title, axis=axis))
    area = base.mark_area(opacity=0.22, color=TREATED).encode(y=alt.Y("low:Q", title=title, axis=alt.Axis(tickCount=5)), y2="high:Q")
    field = x.split(":", maxsplit=1)[0]
    seen = [alt.Tooltip(x, title=x_title or field), *(alt.Tooltip(f"{name}:Q", format="+.3f") for name in ("uplift", "low", "high"))]
    line = base.mark_line(color=TREATED, strokeWidth=2, point=alt.OverlayMarkDef(size=18, color=TREATED)).encode(y="uplift:Q", tooltip=seen)
    none = alt.Chart(_data([{"zero": 0}])).mark_rule(strokeDash=[4, 4], color=HELD).encode(y="zero:Q")
    return (area + line + none).properties(height=HEIGHT)


def limited(rows: Rows, limits: Rows, *, title: str, top: float | None) -> Any:
    """A line a group over time with its interval, and the limits that it is to keep; what lies above `top` is cut off."""
    names = list(dict.fromkeys(str(row["group"]) for row in rows))
    legend = alt.Legend(orient="top", symbolOpacity=1.0)
    colour = alt.Color("group:N", title=None, scale=alt.Scale(domain=names, range=INKS), legend=legend)
    base = alt.Chart(_data(rows)).encode(x=alt.X("date:T", title=None), color=colour)
    scale = alt.Scale() if top is None else alt.Scale(domain=[0.0, top])
    area = base.mark_area(opacity=0.13, clip=True).encode(
        y=alt.Y("low:Q", title=title, scale=scale, axis=alt.Axis(tickCount=5)), y2="high:Q"
    )
    line = base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=18), clip=True).encode(
        y="value:Q", tooltip=[alt.Tooltip("date:T", format="%d %b %H:%M"), "group:N", "says:N"]
    )
    rule = alt.Chart(_data(limits)).mark_rule(strokeDash=[4, 4], color="#c8452c", strokeWidth=2).encode(y="limit:Q", tooltip="says:N")
    both: Any = area + line + rule if limits else area + line
    return both.properties(height=220)


def forest(rows: Rows, *, title: str) -> Any:
    """Effects with intervals, a row each, and the line of no effect; `tone` gives the colour."""
    tones = alt.Scale(
        domain=["better", "worse", "inconclusive", "unavailable"], range=[TREATED, "#c8452c", "#7d8794", "#b4a9bb"]
    )  # fmt: skip
    names = [row["name"] for row in rows]
    base = alt.Chart(_data(rows)).encode(
        y=alt.Y("name:N", sort=names, title=None, axis=alt.Axis(labelLimit=260)),
        color=alt.Color("tone:N", scale=tones, title=None, legend=alt.Legend(orient="top")),
    )
    span = base.mark_rule(strokeWidth=3).encode(x=alt.X("low:Q", title=title, axis=alt.Axis(tickCount=6)), x2="high:Q")
    point = base.mark_point(filled=True, size=90).encode(x="effect:Q", tooltip=["name:N", "says:N"])
    none = alt.Chart(_data([{"zero": 0}])).mark_rule(strokeDash=[4, 4], color=HELD).encode(x="zero:Q")
    return (span + point + none).properties(height=44 * len(rows) + 130)


def heat(rows: Rows, *, value: str, title: str) -> Any:
    """Pairs of experiments as squares."""
    return (
        alt.Chart(_data(rows), height=30 * len({row["a"] for row in rows}) + 170)
        .mark_rect(cornerRadius=3)
        .encode(
            x=alt.X("b:N", title=None, axis=alt.Axis(labelAngle=-35, labelLimit=180)),
            y=alt.Y("a:N", title=None, axis=alt.Axis(labelLimit=220)),
            color=alt.Color(f"{value}:Q", title=title, scale=alt.Scale(scheme="tealblues", domain=[0, 1])),
            tooltip=["a:N", "b:N", "says:N", "risk:N"],
        )
    )


def curve(rows: Rows, *, x: str, y: str, x_title: str, y_title: str, group: str | None = None) -> Any:
    """A smooth line, or one a group; days and periods are counted in whole ones."""
    axis = WHOLE if x in {"day", "period"} else alt.Axis()
    scale = alt.Scale(range=INKS)
    colour = alt.value(TREATED) if group is None else alt.Color(f"{group}:N", title=None, scale=scale, legend=alt.Legend(orient="top"))
    return (
        alt.Chart(_data(rows), height=HEIGHT)
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X(f"{x}:Q", title=x_title, scale=alt.Scale(zero=False), axis=axis),
            y=alt.Y(f"{y}:Q", title=y_title, axis=alt.Axis(tickCount=5)),
            color=colour,
            tooltip=[alt.Tooltip(f"{x}:Q", title=x_title), alt.Tooltip(f"{y}:Q", title=y_title, format=",.4~f")],
        )
    )


def shares(rows: Rows, *, title: str) -> Any:
    """Parts of a whole as bars."""
    return (
        alt.Chart(_data(rows), height=44 * len(rows) + 80)
        .mark_bar(cornerRadius=3, color=TREATED)
        .encode(
            x=alt.X("share:Q", title=title, scale=alt.Scale(domain=[0, 100])),
            y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=220)),
            tooltip=["name:N", alt.Tooltip("share:Q", format=".1f")],
        )
    )


def two_axes(rates: Rows, sizes: Rows) -> Any:
    """Rates as lines over the left axis, sizes as pale bars over the right one."""
    colour = alt.Color("group:N", title=None, scale=GROUPS, legend=alt.Legend(orient="top"))
    bars = (
        alt.Chart(_data(sizes))
        .mark_area(opacity=0.13, line=False)
        .encode(
            x=alt.X("date:T", title=None),
            y=alt.Y("profiles:Q", title="Profiles", stack=None, axis=alt.Axis(orient="right", tickCount=5, grid=False)),
            color=colour,
            tooltip=[alt.Tooltip("date:T"), alt.Tooltip("group:N"), alt.Tooltip("profiles:Q", format=",")],
        )
    )
    curve_ = (
        alt.Chart(_data(rates))
        .mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=18))
        .encode(
            x=alt.X("date:T", title=None),
            y=alt.Y("rate:Q", title="Conversion rate, %", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5)),
            color=colour,
            tooltip=[alt.Tooltip("date:T"), alt.Tooltip("group:N"), alt.Tooltip("rate:Q", format=".2f")],
        )
    )
    both: Any = alt.layer(bars, curve_)
    return both.resolve_scale(y="independent").properties(height=HEIGHT)
