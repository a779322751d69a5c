"""Planning over HTTP: sizes, context, recommendation, health, auto-assignment, duplicates (HO-11, HO-12, HO-30..34, HO-45)."""

from __future__ import annotations

import datetime as dt

import pytest
from holdout_rows import START, add_exposures, add_outcomes, add_units
from test_experiments import HOLDOUT

from fairtrial.assignment import Allocation
from fairtrial.service import incrementality
from fairtrial.storage.tables import Conversion, Touchpoint

DAY = dt.timedelta(days=1)
FEBRUARY = {"date_from": "2026-02-01", "date_to": "2026-02-28"}
ASKED = {"channel": "email", "baseline_rate": 0.05, "mde": 0.01, "daily_profiles": 1500}
PERIOD = {"channel": "email", "start_date": "2026-03-01T00:00:00Z", "end_date": "2026-03-31T23:59:59Z", "treatment_rate": 0.5}
PLAN = {"baseline_rate": 0.05, "mde": 0.01, "alpha": 0.05, "power": 0.8, "treatment_rate": 0.5}


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def touch(service, profiles, channel="email", when="2026-02-10T12:00:00", **fields):
    with service.database.writing() as session:
        session.add_all(Touchpoint(profile_id=name, channel=channel, touched_at=at(when), **fields) for name in profiles)


def convert(service, profiles, when="2026-02-12T12:00:00", kpi="purchase"):
    with service.database.writing() as session:
        session.add_all(Conversion(profile_id=name, kpi=kpi, converted_at=at(when), value=1.0) for name in profiles)


def people(n: int, prefix: str = "u") -> list[str]:
    return [f"{prefix}{i:05d}" for i in range(n)]


class TestPower:
    """HO-11, HO-45, G-14, II.c."""

    def test_the_documented_size_is_16316_in_total(self, service):
        for prefix in ("/api", "/api/v1"):
            answer = service.post(f"{prefix}/experiments/power-analysis", PLAN, role="ANALYST")
            assert answer.status_code == 200
            assert answer.json() == {
                "total_sample_size": 16316,
                "treatment_size": 8158,
                "control_size": 8158,
                **PLAN,
                "method": "pooled_z",
            }
        assert service.post("/api/experiments/power-analysis", {"baseline_rate": 0.05, "mde": 0.01}).json() == answer.json()

    @pytest.mark.parametrize(
        ("rate", "treated", "held"), [(0.8, 20799, 5200), (0.9, 41855, 4651), (0.95, 83963, 4420)], ids=["80/20", "90/10", "95/5"]
    )
    def test_unequal_groups_are_each_rounded_up(self, service, rate, treated, held):
        body = service.post("/api/experiments/power-analysis", {**PLAN, "treatment_rate": rate}).json()
        assert (body["treatment_size"], body["control_size"], body["total_sample_size"]) == (treated, held, treated + held)

    def test_a_drop_of_a_point_needs_fewer_than_a_rise(self, service):
        body = service.post("/api/experiments/power-analysis", {**PLAN, "mde": -0.01}).json()
        assert (body["treatment_size"], body["control_size"]) == (6745, 6745)

    @pytest.mark.parametrize(
        "change",
        [
            {"baseline_rate": 0},
            {"baseline_rate": 1},
            {"baseline_rate": 5},
            {"mde": 0},
            {"mde": 1e-200},
            {"mde": 0.95},
            {"mde": -0.05},
            {"mde": "NaN"},
            {"alpha": 0},
            {"alpha": 95},
            {"power": 1},
            {"power": 0.05},
            {"treatment_rate": 1},
            {"surprise": 1},
            {"mde": 10**400},
        ],
        ids=str,
    )
    def test_a_plan_that_breaks_a_rule_is_a_422(self, service, change):
        answer = service.post("/api/experiments/power-analysis", {**PLAN, **change}, role="ANALYST")
        assert answer.status_code == 422
        assert set(answer.json()) >= {"code", "detail", "hint"}

    def test_the_smallest_effects_still_have_a_size(self, service):
        answer = service.post("/api/experiments/power-analysis", {**PLAN, "mde": 1e-15})
        assert answer.status_code == 200
        assert answer.json()["total_sample_size"] > 10**29

    def test_the_guidance_table_is_the_documented_one(self, service):
        body = service.get("/api/experiments/mde-table?baselines=0.05&mdes=0.005,0.01", role="ANALYST").json()
        rows = [{name: row[name] for name in ("baseline_rate", "mde", "total_sample_size", "per_group")} for row in body["rows"]]
        assert rows == [
            {"baseline_rate": 0.05, "mde": 0.005, "total_sample_size": 62468, "per_group": 31234},
            {"baseline_rate": 0.05, "mde": 0.01, "total_sample_size": 16316, "per_group": 8158},
        ]
        assert (body["alpha"], body["power"]) == (0.05, 0.8)
        whole = service.get("/api/v1/experiments/mde-table", role="ANALYST").json()["rows"]
        found = {(row["baseline_rate"], row["mde"]): (row["total_sample_size"], row["per_group"]) for row in whole}
        documented = {
            (0.05, 0.005): (62468, 31234),
            (0.05, 0.01): (16316, 8158),
            (0.05, 0.02): (4426, 2213),
            (0.1, 0.01): (29502, 14751),
            (0.1, 0.02): (7682, 3841),
            (0.1, 0.05): (1372, 686),
            (0.02, 0.005): (27618, 13809),
            (0.02, 0.01): (7652, 3826),
        }
        assert {place: found[place] for place in documented} == documented

    def test_an_impossible_line_says_so_and_a_wrong_value_is_refused(self, service):
        """G-5: not computed is null with a reason."""
        row = service.get("/api/experiments/mde-table?baselines=0.98&mdes=0.05", role="ANALYST").json()["rows"][0]
        assert (row["total_sample_size"], row["per_group"]) == (None, None)
        assert "(0, 1)" in row["reason"]
        for query in ("baselines=1", "mdes=0", "mdes=x", "mdes=", "baselines=nan", "mdes=inf", f"mdes={'0.1,' * 50}0.1"):
            assert service.get(f"/api/experiments/mde-table?{query}", role="ANALYST").status_code == 422, query

    def test_calculators_need_an_analyst(self, service):
        """G-7."""
        assert service.post("/api/experiments/power-analysis", PLAN, role="VIEWER").status_code == 403
        for path in ("mde-table", "recommend-design?channel=email"):
            assert service.get(f"/api/experiments/{path}", role="VIEWER").status_code == 403
            assert service.get(f"/api/experiments/{path}", role=None).status_code == 401


class TestSetupContext:
    """HO-30, HO-32, II.c."""

    def test_the_documented_context(self, stored_service):
        names = people(1840)
        touch(stored_service, names)
        convert(stored_service, names[:92])
        body = stored_service.get("/api/experiments/setup-context", params=FEBRUARY).json()
        channel = body["channels"][0]
        assert {name: channel[name] for name in ("channel", "capability", "source", "journeys", "profiles", "conversions")} == {
            "channel": "email",
            "capability": "planner_ready",
            "source": "owned",
            "journeys": 1840,
            "profiles": 1840,
            "conversions": 92,
        }
        assert (channel["baseline_rate"], channel["eligible"], channel["provenance"]) == (0.05, True, "touchpoints")
        assert body["kpis"] == ["purchase"]
        assert body["defaults"] == {"treatment_rate": 0.9, "min_runtime_days": 14, "alpha": 0.05, "power": 0.8, "mde": 0.01}
        assert body["warnings"] == []

    def test_a_baseline_is_of_all_whom_the_channel_touched(self, stored_service):
        """II.c: not of converters alone, not clamped, and only within the channel's window after the contact (HO-29)."""
        touch(stored_service, people(1000), channel="sms")
        convert(stored_service, ["u00000"], when="2026-02-10T12:00:00")  # at the very contact
        convert(stored_service, ["u00001", "u00001"][:1], when="2026-02-13T12:00:00")  # the last moment of three days
        convert(stored_service, ["u00002"], when="2026-02-13T12:00:01")  # too late for an SMS
        convert(stored_service, ["u00003"], when="2026-02-10T11:59:59")  # before the contact
        convert(stored_service, ["nobody"], when="2026-02-11T00:00:00")
        channel = stored_service.get("/api/experiments/setup-context", params=FEBRUARY).json()["channels"][0]
        assert (channel["conversions"], channel["profiles"], channel["baseline_rate"]) == (2, 1000, 0.002)
        assert (channel["eligible"], channel["reason"]) == (False, "insufficient_signal")

    def test_fractions_of_a_second_count_at_the_end_of_the_window(self, stored_service):
        touch(stored_service, ["a"], channel="sms", when="2026-02-10T12:00:00.250000")
        touch(stored_service, ["b"], channel="sms", when="2026-02-10T12:00:00.250000")
        convert(stored_service, ["a"], when="2026-02-13T12:00:00.250000")
        convert(stored_service, ["b"], when="2026-02-13T12:00:00.250001")
        assert stored_service.get("/api/experiments/setup-context", params=FEBRUARY).json()["channels"][0]["conversions"] == 1

    def test_a_conversion_ends_a_journey(self, stored_service):
        for day in (1, 2, 4, 5, 8):
            touch(stored_service, ["u"], when=f"2026-02-{day:02d}T00:00:00")
        convert(stored_service, ["u"], when="2026-02-03T00:00:00")
        convert(stored_service, ["u"], when="2026-02-05T00:00:00")
        convert(stored_service, ["u"], when="2026-02-06T00:00:00")
        channel = stored_service.get("/api/experiments/setup-context", params=FEBRUARY).json()["channels"][0]
        assert (channel["journeys"], channel["profiles"], channel["conversions"]) == (3, 1, 1)

    def test_channels_differ_in_capability_and_source(self, stored_service):
        """HO-32: what nobody sends cannot be held out."""
        touch(stored_service, people(30), channel="direct")
        touch(stored_service, people(120), channel="search")
        touch(stored_service, people(40), channel="push", owned=False)
        touch(stored_service, people(20), channel="partner", owned=True)
        convert(stored_service, people(10))
        body = stored_service.get("/api/experiments/setup-context", params=FEBRUARY).json()
        found = {row["channel"]: (row["capability"], row["source"], row["eligible"], row["reason"]) for row in body["channels"]}
        assert found == {
            "search": ("manual_only", "observed", True, None),
            "push": ("planner_ready", "observed", True, None),
            "direct": ("not_supported", "observed", False, "channel_not_supported"),
            "partner": ("manual_only", "owned", False, "insufficient_signal"),
        }
        assert [row["channel"] for row in body["channels"]] == ["search", "push", "direct", "partner"]
        assert (body["defaults"]["treatment_rate"], body["defaults"]["min_runtime_days"]) == (0.8, 14)
        assert any("direct" in warning for warning in body["warnings"])

    def test_nothing_stored_is_said_and_nothing_is_made_up(self, stored_service):
        """G-5."""
        body = stored_service.get("/api/experiments/setup-context").json()
        assert (body["channels"], body["kpis"], body["kpi"]) == ([], [], None)
        assert len(body["warnings"]) == 2
        assert body["defaults"] == {"treatment_rate": 0.8, "min_runtime_days": 21, "alpha": 0.05, "power": 0.8, "mde": 0.01}
        touch(stored_service, ["u"])
        channel = stored_service.get("/api/experiments/setup-context", params=FEBRUARY).json()["channels"][0]
        assert (channel["baseline_rate"], channel["conversions"], channel["eligible"]) == (None, 0, False)

    def test_of_several_kpis_one_is_chosen_aloud(self, stored_service):
        touch(stored_service, people(50))
        convert(stored_service, people(9), kpi="signup")
        convert(stored_service, people(6), kpi="purchase")
        body = stored_service.get("/api/experiments/setup-context", params=FEBRUARY).json()
        assert (body["kpis"], body["kpi"], body["channels"][0]["conversions"]) == (["purchase", "signup"], "signup", 9)
        assert "most frequent of 2 KPIs" in body["warnings"][0]
        body = stored_service.get("/api/experiments/setup-context", params={**FEBRUARY, "kpi": "purchase"}).json()
        assert (body["channels"][0]["conversions"], body["warnings"]) == (6, [])

    def test_a_period_holds_its_whole_last_day(self, stored_service):
        """Midnight and the leap day: a bare date is the whole day."""
        touch(stored_service, ["late"], when="2028-02-29T23:59:59.999999")
        touch(stored_service, ["next"], when="2028-03-01T00:00:00")
        period = {"date_from": "2028-02-29", "date_to": "2028-02-29"}
        assert stored_service.get("/api/experiments/setup-context", params=period).json()["channels"][0]["profiles"] == 1
        for bad in ({"date_from": "2026-03-01", "date_to": "2026-02-01"}, {"date_to": "2026-02-30"}, {"date_from": "0001-01-01"}):
            assert stored_service.get("/api/experiments/setup-context", params=bad).status_code == 422, bad


class TestRecommendation:
    """HO-31."""

    def ask(self, service, **change):
        query = {name: value for name, value in {**ASKED, **change}.items() if value is not None}
        return service.get("/api/experiments/recommend-design", params=query, role="ANALYST")

    def test_the_documented_recommendation(self, service):
        body = self.ask(service).json()
        assert body["readiness"] == "ready_to_launch"
        assert body["recommended"] == {"treatment_rate": 0.8, "total_sample_size": 25999, "runtime_days": 18}
        assert body["candidates"] == [
            {"treatment_rate": 0.9, "total_sample_size": 46506, "runtime_days": 32},
            {"treatment_rate": 0.8, "total_sample_size": 25999, "runtime_days": 18},
            {"treatment_rate": 0.7, "total_sample_size": 19683, "runtime_days": 14},
            {"treatment_rate": 0.5, "total_sample_size": 16316, "runtime_days": 11},
        ]
        assert body["min_runtime_days"] == 14
        assert body["signal"]["source"] == "request"

    def test_an_observed_channel_is_not_offered_nine_tenths(self, service):
        body = self.ask(service, channel="search").json()
        assert [row["treatment_rate"] for row in body["candidates"]] == [0.8, 0.7, 0.5]
        assert (body["capability"], body["source"]) == ("manual_only", "observed")

    def test_a_quick_design_still_runs_two_weeks(self, service):
        body = self.ask(service, daily_profiles=46506).json()
        assert body["recommended"] == {"treatment_rate": 0.9, "total_sample_size": 46506, "runtime_days": 14}
        assert body["candidates"][0]["runtime_days"] == 1

    @pytest.mark.parametrize(("daily", "days", "bound"), [(700, 24, "21"), (300, 55, "42")])
    def test_too_little_volume_is_said_and_more_strongly_beyond_six_weeks(self, service, daily, days, bound):
        body = self.ask(service, daily_profiles=daily).json()
        assert body["readiness"] == "needs_more_volume"
        assert body["recommended"]["runtime_days"] == days
        assert f"more than {bound}" in body["reasons"][0]

    @pytest.mark.parametrize("change", [{"daily_profiles": 1.5}, {"baseline_rate": 0.0002, "daily_profiles": 100}])
    def test_too_little_signal_recommends_nothing(self, service, change):
        body = self.ask(service, **change).json()
        assert (body["readiness"], body["recommended"]) == ("insufficient_signal", None)

    def test_what_the_query_leaves_out_comes_from_the_population(self, stored_service):
        stored_service.clock.now = at("2026-03-01T00:00:00")
        assert self.ask(stored_service, baseline_rate=None, daily_profiles=None).json()["readiness"] == "no_data"
        assert self.ask(stored_service, baseline_rate=None).json()["readiness"] == "no_data"
        names = people(2800)
        touch(stored_service, names)
        convert(stored_service, names[:140])
        body = self.ask(stored_service, baseline_rate=None, daily_profiles=None, mde=0.05).json()
        assert body["signal"] == {
            "source": "touchpoints",
            "baseline_rate": 0.05,
            "daily_profiles": 100.0,
            "days": 28.0,
            "profiles": 2800.0,
            "journeys": 2800,
            "conversions": 140.0,
        }
        assert body["readiness"] == "ready_to_launch"
        mixed = self.ask(stored_service, daily_profiles=None).json()
        assert (mixed["signal"]["source"], mixed["readiness"]) == ("request and touchpoints", "needs_more_volume")

    def test_a_population_without_conversions_has_too_little_signal(self, stored_service):
        touch(stored_service, people(100))
        convert(stored_service, ["else"])
        body = self.ask(stored_service, baseline_rate=None, daily_profiles=None).json()
        assert (body["readiness"], body["candidates"], body["recommended"]) == ("insufficient_signal", [], None)

    def test_direct_traffic_cannot_be_held_out(self, service):
        """HO-32."""
        refused = self.ask(service, channel="Direct")
        assert refused.status_code == 422
        assert "cannot" in refused.json()["detail"]

    @pytest.mark.parametrize(
        "change",
        [
            {"baseline_rate": 5},
            {"mde": 0},
            {"mde": 0.97},
            {"daily_profiles": 0},
            {"daily_profiles": "inf"},
            {"channel": " "},
            {"channel": None},
        ],
        ids=str,
    )
    def test_a_wrong_question_is_a_422(self, service, change):
        assert self.ask(service, **change).status_code == 422


@pytest.mark.parametrize(
    ("channel", "capability"),
    [(name, "planner_ready") for name in ("email", "push", "sms", "whatsapp", "onsite", "in_app", "app_push")]
    + [("search", "manual_only"), ("display", "manual_only"), ("direct", "not_supported"), ("unknown", "not_supported")],
)
def test_whether_a_channel_can_be_held_out(service, channel, capability):
    """HO-32, HO-34: what cannot be held out cannot start."""
    service.post("/api/experiments", {**HOLDOUT, "channel": channel})
    assert service.get("/api/experiments/1").json()["execution_capability"] == capability
    started = service.post("/api/experiments/1/status", {"status": "running"})
    assert started.status_code == (409 if capability == "not_supported" else 200)
    readiness = service.get("/api/experiments/1/health").json()["launch_readiness"]
    assert (readiness["status"] == "blocked") == (capability == "not_supported")
    assert bool(readiness["blockers"]) == (capability == "not_supported")
    assert any("by hand" in warning for warning in readiness["warnings"]) == (capability == "manual_only")


class TestHealth:
    """HO-33."""

    @pytest.fixture
    def running(self, stored_service):
        """812 treated of whom 747 were exposed, 188 held; 33 and 20 converted."""
        stored_service.post("/api/experiments", HOLDOUT)
        stored_service.post("/api/experiments/1/status", {"status": "running"})
        with stored_service.database.writing() as session:
            treated, held = add_units(session, 1, "treatment", 812), add_units(session, 1, "control", 188)
            add_exposures(session, 1, treated[:747], at=START + DAY)
            add_outcomes(session, 1, treated[:33] + held[:20], at=START + 2 * DAY, value=10.0)
        stored_service.clock.move(days=5)
        return stored_service

    def read(self, service, experiment=1):
        return service.get(f"/api/experiments/{experiment}/health").json()

    def test_the_documented_health(self, running):
        body = self.read(running)
        assert body["experiment_id"] == 1
        assert body["sample"] == {"treatment": 812, "control": 188, "min_assignments": 50, "min_conversions": 20}
        assert body["exposures"] == {"treatment_profiles": 747, "control_profiles": 0}
        counted = ("profiles", "unassigned", "before_assignment", "after_window")
        assert {name: body["outcomes"][name] for name in counted} == dict(zip(counted, (53, 0, 0, 0), strict=True))
        balance = body["balance"]
        assert (balance["expected_share"], balance["observed_share"], balance["status"]) == (0.8, 0.812, "ok")
        assert balance["chi_square"] == pytest.approx(0.9, abs=1e-12)
        assert balance["p_value"] == pytest.approx(0.3428, abs=5e-5)
        assert body["data_completeness"] == {"assignments": "ok", "exposures": "ok", "outcomes": "ok"}
        assert body["overlap_risk"] == {"running_on_channel": 0, "status": "ok"}
        assert body["plan"]["planned_total"] == 25999
        assert body["plan"]["progress"] == pytest.approx(0.038463, abs=5e-7)
        assert body["runtime"] == {"days": 5, "min_days": 14, "status": "warn"}
        assert body["launch_readiness"] == {"status": "ready", "blockers": [], "warnings": [], "tracking_gaps": []}
        assert body["ready_state"] == {"status": "early", "reasons": ["runtime_below_minimum", "plan_incomplete"]}
        with running.database.reading() as session:
            assert incrementality.compute_experiment_health(session, 1, now=running.clock()) == body

    def test_a_split_gone_wrong_and_too_few_converters_forbid_reading(self, running):
        """G-11: not a ten-point tolerance; 20 converters in each group."""
        with running.database.writing() as session:
            add_units(session, 1, "control", 90, prefix="more-")
        body = self.read(running)
        assert body["balance"]["status"] == "mismatch"
        assert body["ready_state"]["status"] == "not_ready"
        assert body["ready_state"]["reasons"][0] == "sample_ratio_mismatch"
        running.post("/api/experiments", {**HOLDOUT, "channel": "push"})
        with running.database.writing() as session:
            names = add_units(session, 2, "treatment", 80) + add_units(session, 2, "control", 20)
            add_outcomes(session, 2, names[:5], at=START + DAY)
        reasons = self.read(running, 2)["ready_state"]["reasons"]
        assert {"assignments_below_minimum", "conversions_below_minimum"} <= set(reasons)

    def test_what_does_not_count_is_counted(self, running):
        with running.database.writing() as session:
            add_outcomes(session, 1, ["stranger"], at=START + DAY)
            add_outcomes(session, 1, ["t00500"], at=START - DAY)
            add_outcomes(session, 1, ["t00501"], at=START + 60 * DAY)
            add_exposures(session, 1, ["c00000", "c00001"], at=START + DAY)
        body = self.read(running)
        assert {name: body["outcomes"][name] for name in ("profiles", "unassigned", "before_assignment", "after_window")} == {
            "profiles": 53,
            "unassigned": 1,
            "before_assignment": 1,
            "after_window": 1,
        }
        assert body["exposures"]["control_profiles"] == 2
        assert body["launch_readiness"]["status"] == "manual_review"
        assert body["launch_readiness"]["warnings"] == ["2 control profiles were exposed"]

    def test_others_on_the_channel_are_a_risk(self, running):
        for name in ("second", "third"):
            made = running.post("/api/experiments", {**HOLDOUT, "name": name, "channel": "EMAIL"}).json()["id"]
            running.post(f"/api/experiments/{made}/status", {"status": "running"})
        running.post("/api/experiments", HOLDOUT)
        assert self.read(running)["overlap_risk"] == {"running_on_channel": 2, "status": "warn"}

    def test_time_and_plan_fulfilled_is_ready(self, running):
        running.post("/api/experiments", {**HOLDOUT, "baseline_rate_estimate": 0.3, "mde_target": 0.6, "min_runtime_days": 3})
        running.post("/api/experiments/2/status", {"status": "running"})
        with running.database.writing() as session:
            treated, held = add_units(session, 2, "treatment", 200), add_units(session, 2, "control", 50)
            add_outcomes(session, 2, treated[:60] + held[:20], at=START + DAY)
            add_exposures(session, 2, treated, at=START + DAY)
        body = self.read(running, 2)
        assert (body["runtime"], body["ready_state"]) == (
            {"days": 5, "min_days": 3, "status": "ok"},
            {"status": "ready", "reasons": []},
        )

    def test_nothing_there_is_never_a_pass(self, stored_service):
        """G-5: a fresh draft without a plan."""
        bare = {name: HOLDOUT[name] for name in ("name", "channel", "conversion_key")}
        stored_service.post("/api/experiments", bare)
        body = self.read(stored_service)
        assert body["data_completeness"] == {"assignments": "missing", "exposures": "missing", "outcomes": "missing"}
        assert (body["balance"]["status"], body["balance"]["p_value"], body["balance"]["observed_share"]) == ("skipped", None, None)
        assert body["balance"]["reason"]
        assert body["plan"] == {"planned_total": None, "progress": None, "reason": "no_plan"}
        assert body["runtime"] == {"days": None, "min_days": 14, "status": "not_started"}
        assert body["launch_readiness"]["status"] == "manual_review"
        assert len(body["launch_readiness"]["tracking_gaps"]) == 2
        assert body["ready_state"]["status"] == "not_ready"
        stored_service.clock.now = at("2026-02-15T00:00:00")
        touch(stored_service, ["u"])
        convert(stored_service, ["u"])
        assert self.read(stored_service)["launch_readiness"]["tracking_gaps"] == []

    def test_what_blocks_a_start_is_in_both_places(self, service):
        """HO-34."""
        service.post("/api/experiments", {**HOLDOUT, "conversion_key": None})
        readiness = self.read(service)["launch_readiness"]
        assert readiness["status"] == "blocked"
        refused = service.post("/api/experiments/1/status", {"status": "running"})
        assert refused.status_code == 409
        assert readiness["blockers"][0] in refused.json()["detail"]

    def test_running_time_ends_with_the_experiment(self, running):
        running.clock.move(days=100)
        assert self.read(running)["runtime"] == {"days": 30, "min_days": 14, "status": "ok"}

    def test_an_unknown_experiment_is_a_404(self, service):
        assert service.get("/api/experiments/9/health").status_code == 404


class TestAutoAssignment:
    """HO-12, II.c."""

    def make(self, service, n=1):
        for _ in range(n):
            service.post("/api/experiments", {name: HOLDOUT[name] for name in ("name", "channel", "conversion_key")})

    def test_everybody_touched_is_assigned_and_it_is_not_causal(self, stored_service):
        """II.b: of user_001..005 in experiment 1 at .5 three are treatment."""
        self.make(stored_service)
        users = [f"user_{i:03d}" for i in range(1, 6)]
        touch(stored_service, users, when="2026-03-31T23:59:59")
        touch(stored_service, users, when="2026-03-05T00:00:00", campaign_id="again")
        touch(stored_service, ["early"], when="2026-02-28T23:59:59")
        touch(stored_service, ["other"], channel="push", when="2026-03-05T00:00:00")
        convert(stored_service, users[:1], when="2026-03-06T00:00:00")
        answer = stored_service.post("/api/experiments/1/auto-assign", PERIOD)
        assert answer.status_code == 200
        note = "Profiles were already treated in this period: use as A/A check or to seed a future holdout."
        expected = {"treatment": 3, "control": 2, "total": 5, "causal": False, "note": note}
        assert {name: answer.json()[name] for name in expected} == expected
        again = stored_service.post("/api/v1/experiments/1/auto-assign", {**PERIOD, "channel": " Email "}).json()
        assert (again["total"], again["new"], again["existing"]) == (5, 0, 5)
        items = stored_service.get("/api/experiments/1/assignments").json()["items"]
        groups = {item["profile_id"]: item["group"] for item in items}
        assert groups == {name: Allocation.holdout("1", 0.5, hash_key="1", salt="").arm(name) for name in users}

    def test_converters_or_not_the_share_is_the_planned_one(self, stored_service):
        self.make(stored_service)
        names = people(2000)
        touch(stored_service, names, when="2026-03-05T00:00:00")
        convert(stored_service, names[:1000], when="2026-03-06T00:00:00")
        with stored_service.database.writing() as session:
            found = incrementality.auto_assign_from_conversion_paths(
                session, 1, "email", at("2026-03-01T00:00:00"), at("2026-04-01T00:00:00"), 0.8, now=stored_service.clock()
            )
        assert (found["total"], found["causal"]) == (2000, False)
        assert stored_service.get("/api/experiments/1/health").json()["balance"]["status"] == "ok"

    def test_refusals(self, service):
        self.make(service)
        empty = service.post("/api/experiments/1/auto-assign", PERIOD).json()
        assert (empty["treatment"], empty["control"], empty["total"]) == (0, 0, 0)
        assert service.post("/api/experiments/9/auto-assign", PERIOD).status_code == 404
        for change in ({"end_date": "2026-02-01"}, {"channel": ""}, {"channel": "a\x00b"}, {"treatment_rate": 0}, {"surprise": 1}):
            assert service.post("/api/experiments/1/auto-assign", {**PERIOD, **change}).status_code == 422, change
        assert service.post("/api/experiments/1/auto-assign", PERIOD, role="ANALYST").status_code == 403

    def test_stop_freezes_assignment(self, service):
        """HO-34: a stopped experiment takes nobody, and its plan stays."""
        self.make(service)
        touch(service, ["u"], when="2026-03-05T00:00:00")
        service.post("/api/experiments/1/status", {"status": "running"})
        service.post("/api/experiments/1/status", {"status": "stopped"})
        before = service.get("/api/experiments/1").json()
        assert service.post("/api/experiments/1/auto-assign", PERIOD).status_code == 409
        assert (
            service.post("/api/experiments/1/assign", {"profile_ids": ["u"], "treatment_rate": 0.9, "force_reassign": True}).status_code
            == 409
        )
        assert service.get("/api/experiments/1").json() == before


class TestDuplicate:
    """HO-34."""

    def test_the_documented_duplicate(self, stored_service):
        for _ in range(3):
            stored_service.post("/api/experiments", HOLDOUT)
        answer = stored_service.post("/api/experiments/1/duplicate", {"name": "Email holdout Q2 2026"})
        assert answer.status_code == 201
        expected = {"id": 4, "name": "Email holdout Q2 2026", "status": "draft", "duplicated_from": 1}
        assert {name: answer.json()[name] for name in expected} == expected

    def test_the_set_up_is_the_same_and_nobody_is_assigned(self, stored_service):
        asked = {
            **HOLDOUT,
            "segment": {"country": "CZ"},
            "policy": {"conversion_window_days": 5},
            "guardrails": {"unsubscribe": 0.01},
            "stop_rule": "always_valid",
            "min_runtime_days": 10,
            "source_type": "campaign",
            "source_id": "q1",
        }
        stored_service.post("/api/experiments", asked)
        stored_service.post("/api/experiments/1/assign", {"profile_ids": people(10)})
        stored_service.post("/api/experiments/1/status", {"status": "running"})
        made = stored_service.post("/api/experiments/1/duplicate", {}).json()
        old, new = (stored_service.get(f"/api/experiments/{i}").json() for i in (1, made["id"]))
        differ = {name for name in old if old[name] != new[name]}
        assert differ == {"id", "key", "name", "status", "spec_hash", "started_at", "duplicated_from"}
        assert new["name"] == "Email holdout Q1 2026 (copy)"
        assert stored_service.get(f"/api/experiments/{made['id']}/assignments").json()["items"] == []
        assert stored_service.get(f"/api/experiments/{made['id']}/health").json()["sample"]["treatment"] == 0

    def test_dates_gone_by_are_not_copied(self, service):
        service.post("/api/experiments", HOLDOUT)
        service.clock.move(days=60)
        made = service.post("/api/experiments/1/duplicate", {}).json()["id"]
        assert service.get(f"/api/experiments/{made}").json()["end_at"] is None
        dates = {"start_at": "2026-06-01T00:00:00Z", "end_at": "2026-06-30T00:00:00Z"}
        made = service.post("/api/experiments/1/duplicate", dates).json()["id"]
        assert {name: service.get(f"/api/experiments/{made}").json()[name] for name in dates} == dates

    def test_a_duplicate_of_a_spec_is_of_the_spec(self, service):
        spec = {
            "key": "cart",
            "arms": ["control", "a", "b"],
            "metrics": [{"key": "converted", "kind": "proportion", "role": "primary"}],
        }
        assert service.post("/api/experiments", {"spec": spec}).status_code == 201
        made = service.post("/api/experiments/cart/duplicate", {"name": "Again", "key": "cart-2"})
        assert made.status_code == 201
        detail = service.get("/api/experiments/cart-2").json()
        assert (detail["kind"], detail["duplicated_from"], detail["status"]) == ("ab_test", 1, "draft")
        assert service.get("/api/experiments/cart-2/health").json()["balance"]["expected_share"] == pytest.approx(2 / 3)

    def test_refusals(self, service):
        service.post("/api/experiments", {**HOLDOUT, "key": "taken"})
        for change in ({"name": ""}, {"key": "42"}, {"start_at": "2026-06-02", "end_at": "2026-06-01"}, {"status": "running"}):
            assert service.post("/api/experiments/1/duplicate", change).status_code == 422, change
        assert service.post("/api/experiments/1/duplicate", {"key": "taken"}).status_code == 409
        assert service.post("/api/experiments/7/duplicate", {}).status_code == 404
        assert service.post("/api/experiments/1/duplicate", {}, role="ANALYST").status_code == 403


def test_fixed_paths_are_not_captured_by_an_id(service):
    """G-8."""
    for path in ("mde-table", "setup-context", "recommend-design?channel=email"):
        assert service.get(f"/api/v1/experiments/{path}", role="ANALYST").status_code == 200, path


@pytest.mark.parametrize("days", [-1, 1e300, True, "14", [14]], ids=str)
def test_a_window_that_is_no_number_of_days_is_refused(service, days):
    """HO-29: and never a 5xx when it is read later."""
    assert service.post("/api/experiments", {**HOLDOUT, "policy": {"conversion_window_days": days}}).status_code == 422


def test_a_plan_is_made_by_the_service_alone(service):
    """HO-02: whatever a caller sends as its power plan."""
    made = service.post("/api/experiments", {**HOLDOUT, "guardrails": {"power_plan": "big", "unsubscribe": 0.01}})
    assert (made.status_code, made.json()["plan"]["total_sample_size"]) == (201, 25999)
    made = service.post("/api/experiments", {**HOLDOUT, "mde_target": None, "guardrails": {"power_plan": "big"}})
    assert (made.status_code, made.json()["plan"]) == (201, None)
