"""Drift of inputs and scores (ML-35)."""

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fairtrial.analysis.drift import DriftLimits, analyze_drift, read_table
from fairtrial.diagnostics.drift import ColumnDrift
from fairtrial.errors import DataError, UnknownNameError, UsageError
from fairtrial.reports.drift import drift_dict


def table(n: int, seed: int, **columns: object) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "amount": rng.lognormal(3, 1, n),
            "country": rng.choice(["cs", "de", "fr"], n, p=[0.5, 0.3, 0.2]),
            "prediction": rng.beta(2, 8, n),
            "user_id": [f"u{seed}-{i}" for i in range(n)],
        }
    )
    return frame.assign(**columns)


def column(report: object, name: str, group: str | None = None) -> ColumnDrift:
    return next(one for one in report.columns if one.column == name and group in {None, one.group})  # type: ignore[attr-defined]


def test_what_did_not_move_is_steady_and_ids_are_no_inputs() -> None:
    report = analyze_drift(table(4_000, 1, order=[f"o{i}" for i in range(4_000)]), table(4_000, 2, order=[f"x{i}" for i in range(4_000)]))
    assert [one.column for one in report.columns] == ["amount", "country", "prediction"]
    assert (report.drifted, list(report.skipped)) == (False, ["order"])
    assert column(report, "amount").psi < 0.02


def test_a_shift_a_new_level_and_missing_values_are_drift() -> None:
    """ML-35: PSI above .2, or the Kolmogorov-Smirnov test below .01."""
    base = table(4_000, 1)
    rng = np.random.default_rng(3)
    moved = table(4_000, 2, country=rng.choice(["cs", "nová země", "fr"], 4_000))
    moved["amount"] *= 1.15
    moved.loc[moved.index[:2_000], "prediction"] = np.nan
    report = analyze_drift(moved, base)
    amount, country, score = (column(report, name) for name in ("amount", "country", "prediction"))
    reference = stats.ks_2samp(base["amount"], moved["amount"], method="asymp")
    assert amount.ks_distance == pytest.approx(reference.statistic)
    assert amount.ks_p_value == pytest.approx(reference.pvalue, rel=0.1)
    assert amount.psi < 0.2 < country.psi
    assert (amount.drifted, country.drifted, score.drifted) == (True, True, True)
    assert (score.missing_reference, score.missing_current) == (0.0, 0.5)
    assert score.ks_p_adjusted > 0.01
    assert {finding.code for finding in report.findings} == {"drift"}
    json.dumps(drift_dict(report), allow_nan=False)


def test_p_values_of_many_columns_are_corrected_together() -> None:
    """The chance of any false alarm is .01 over 40 columns: 150 nights without drift, 1e-6 bound of Binomial(150, .01) is 11."""
    rng = np.random.default_rng(9)
    names = [f"x{i}" for i in range(40)]
    nights = 0
    raw = 0
    for _ in range(150):
        base, now = (pd.DataFrame(rng.normal(size=(300, 40)), columns=names) for _ in range(2))
        report = analyze_drift(now, base)
        nights += report.drifted
        raw += any(one.ks_p_value < 0.01 for one in report.columns)
    assert nights <= 11
    assert raw > 30


def test_a_trivial_shift_of_many_rows_is_named_as_small() -> None:
    """At a million rows .004 standard deviations are significant: the distance is told, and a least one may be asked for."""
    rng = np.random.default_rng(4)
    base, now = (pd.DataFrame({"x": rng.normal(shift, 1, 1_000_000)}) for shift in (0.0, 0.006))
    report = analyze_drift(now, base)
    assert report.drifted
    assert column(report, "x").ks_distance < 0.005
    assert "The shift is small; 2,000,000 rows show any." in report.findings[0].action
    assert not analyze_drift(now, base, limits=DriftLimits(min_distance=0.05)).drifted


def test_few_rows_exceed_the_index_by_chance() -> None:
    rng = np.random.default_rng(4)
    base, now = (pd.DataFrame({"x": rng.normal(size=30)}) for _ in range(2))
    report = analyze_drift(now, base)
    assert column(report, "x").psi > 0.2
    assert (report.drifted, report.findings[0].code) == (False, "drift_by_chance")


def test_before_and_after_and_arm_against_arm() -> None:
    frame = table(6_000, 1, timestamp=pd.date_range("2026-01-01", periods=6_000, freq="5min", tz="UTC"))
    frame["variant"] = np.resize(["champion", "challenger", "shadow"], 6_000)
    late = frame["timestamp"] >= "2026-01-15"
    frame.loc[late, "amount"] *= 2
    split = analyze_drift(frame, split_at=dt.datetime(2026, 1, 15, tzinfo=dt.UTC))
    assert {one.column: one.drifted for one in split.columns} == {"amount": True, "country": False, "prediction": False}
    assert column(split, "amount").n_reference == int((~late).sum())
    frame.loc[frame["variant"] == "challenger", "prediction"] += 0.2
    arms = analyze_drift(frame, by="variant")
    assert (arms.reference, {one.group for one in arms.columns}) == ("champion", {"challenger", "shadow"})
    assert (column(arms, "prediction", "challenger").drifted, column(arms, "prediction", "shadow").drifted) == (True, False)


def test_constant_empty_and_infinite_columns() -> None:
    n = 500
    base = table(n, 1, same=7.0, none=None, wild=1.0, flag=True)
    now = table(n, 2, same=7.0, none=None, wild=np.inf, flag=True)
    report = analyze_drift(now, base)
    assert (column(report, "same").psi, column(report, "same").ks_p_value, column(report, "same").drifted) == (0.0, 1.0, False)
    assert column(report, "none").unavailable.code == "all_missing"
    assert column(report, "wild").unavailable.code == "infinite_value"
    assert column(report, "flag").kind == "categorical"
    gone = analyze_drift(table(n, 2, same=8.0, amount=np.nan), table(n, 1, same=7.0), columns=["same", "amount"])
    assert [one.drifted for one in gone.columns] == [True, True]


def test_what_cannot_be_compared_says_why(tmp_path: Path) -> None:
    frame = table(100, 1)
    with pytest.raises(UsageError, match="One comparison"):
        analyze_drift(frame)
    with pytest.raises(UnknownNameError):
        analyze_drift(frame, frame, columns=["nothing"])
    with pytest.raises(UnknownNameError):
        analyze_drift(frame, split_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    with pytest.raises(DataError, match="one side"):
        analyze_drift(frame.assign(timestamp="2026-01-01"), split_at=dt.datetime(2027, 1, 1, tzinfo=dt.UTC))
    with pytest.raises(DataError, match="2 to 50"):
        analyze_drift(frame, by="user_id")
    with pytest.raises(DataError, match="No column"):
        analyze_drift(frame[["user_id"]], frame)
    for wrong in ({"psi": 0.0}, {"ks_p_value": 1.0}, {"min_distance": -0.1}):
        with pytest.raises(UsageError):
            DriftLimits(**wrong)
    (tmp_path / "empty.ndjson").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="no row"):
        read_table(str(tmp_path / "empty.ndjson"))
    with pytest.raises(UsageError):
        read_table(str(tmp_path / "nowhere.ndjson"))
    (tmp_path / "none.csv").write_text("a,b\n", encoding="utf-8")
    with pytest.raises(DataError, match="no row"):
        read_table(str(tmp_path / "none.csv"))
