"""Experiments that share users: overlap of all pairs, one pair in full, trends."""

from __future__ import annotations

import streamlit as st

from fairtrial.dashboard import charts
from fairtrial.dashboard.parts import badge, box, cards, empty, framed, plain, table, title
from fairtrial.dashboard.source import desk
from fairtrial.reports.pages.interactions import pair_view, scan_view
from fairtrial.reports.pages.novelty import novelty_rows, novelty_sentence


def one_pair(a: str, b: str, names: dict[str, str]) -> None:
    """Everything about two experiments."""
    shown = pair_view(desk().get(f"/interactions/{a}/{b}"), names)
    badge(f"{shown.risk[0]} risk", shown.risk[1])
    cards(shown.cards)
    st.markdown(plain(shown.sentence))
    for text in shown.dependence:
        box("warning", text)
    if shown.effects:
        st.altair_chart(
            charts.forest(shown.effects, title="Interaction: difference of the effect between the other's arms"), width="stretch"
        )
    if shown.tests:
        table(shown.tests)
    for text in (*shown.decisions, *shown.recommendations):
        st.markdown(f"- {plain(text)}")
    trend = desk().get(f"/interactions/{a}/{b}/trend")["points"]
    if len(trend) > 1:
        st.markdown("**Overlap over the kept scans**")
        rows = [{"date": point["as_of"], "overlap": point["overlap_coefficient"], "group": "overlap"} for point in trend]
        st.altair_chart(charts.lines(rows, y="overlap", title="Overlap (Jaccard)"), width="stretch")
    st.markdown("**Does either effect change with the days?**")
    novelty = desk().get(f"/interactions/{a}/{b}/novelty")
    for name, key in ((names.get(a, a), "novelty_result"), (names.get(b, b), "novelty_result_b")):
        rows = novelty_rows(novelty[key])
        st.caption(plain(f"{name}: {novelty_sentence(novelty[key])}"))
        if rows:
            st.altair_chart(charts.band(rows, title="Effect of that day", x="day:Q", x_title="days since assignment"), width="stretch")


title("Interactions", "Every pair of running experiments; shared users are counted, p-values are corrected over all pairs.")
with framed("Looking at every pair"):
    named = {one["key"]: one["name"] for one in desk().get("/experiments", limit=1000)["items"]}
    scan = scan_view(desk().get("/interactions/scan"), named)
    cards(scan.cards)
    if not scan.rows:
        empty("Fewer than two experiments run.", "Pairs appear once two experiments run at the same time.")
    else:
        st.altair_chart(charts.heat(scan.squares, value="overlap", title="Overlap"), width="stretch")
        table(scan.rows)
        st.subheader("One pair", anchor=False)
        place = st.selectbox(
            "Pair",
            range(len(scan.pairs)),
            format_func=lambda i: f"{scan.rows[i]['First']} and {scan.rows[i]['Second']} · {scan.rows[i]['Risk']} risk",
        )
        with framed("Reading the pair"):
            one_pair(*scan.pairs[place], named)
