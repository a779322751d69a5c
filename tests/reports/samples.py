"""Scorecards built by hand, one for each thing a report must be able to show.

The first is the real one: the advertising holdout of 588,101 users, its score
interval and Katz lift interval computed from the counts (tests/reference and the
data's expected answers agree to the digits given). The others are invented, with
Wald intervals from their own counts, so that numbers in them belong together.
"""

from __future__ import annotations

import dataclasses
import math

from scipy import special

from fairtrial.decisions.decision import Decision
from fairtrial.diagnostics.allocation import SrmCheck
from fairtrial.diagnostics.finding import Finding
from fairtrial.evaluation.scorecard import ArmSummary, Comparison, Guardrail, Incremental, PlanStatus, Scorecard
from fairtrial.stats.reading import Intake
from fairtrial.stats.result import Estimate, Interval, Unavailable

HASH = "9f2c4b1e7a6d5038c1f4e2b7a9d8063514fbc27e8a90d1c3b5e6f70829a4bd11"
FINGERPRINT = "41c07ae2d95b8f63e0a1b4c7d8295f3610ed7c42ab98530f6e1d2c3b4a596877"


def reading_of(interval: Interval, direction: str) -> str:
    if not interval.excludes(0.0):
        return "inconclusive"
    up = interval.low > 0.0
    return "better" if up == (direction == "increase") else "worse"


def estimate(control: float, treatment: float, se: float, n0: int, n1: int, *, alpha: float = 0.05, **more: object) -> Estimate:
    """An estimate with Wald's interval, invented for display."""
    alternative = more.pop("alternative", "two-sided")
    effect = treatment - control
    z = effect / se
    half = -special.ndtri(alpha / 2 if alternative == "two-sided" else alpha) * se
    half = float(half)
    low = -math.inf if alternative == "less" else effect - half
    high = math.inf if alternative == "greater" else effect + half
    tails = {"two-sided": 2 * special.ndtr(-abs(z)), "greater": special.ndtr(-z), "less": special.ndtr(z)}
    positive = control > 0
    fields = {
        "effect": effect,
        "interval": Interval(low=low, high=high),
        "p_value": float(tails[alternative]),
        "std_error": se,
        "statistic": z,
        "df": None,
        "control": control,
        "treatment": treatment,
        "n_control": n0,
        "n_treatment": n1,
        "alpha": alpha,
        "alternative": alternative,
        "method": "welch",
        "interval_method": "welch",
        "lift": effect / control if positive else None,
        "lift_interval": Interval(low=low / control, high=high / control) if positive else None,
        "lift_method": "delta" if positive else None,
    }
    return Estimate(**{**fields, **more})


def compared(metric: str, treatment: str, found: Estimate | Unavailable, **more: object) -> Comparison:
    fields: dict[str, object] = {"kind": "proportion", "role": "secondary", "direction": "increase", "guardrail": None, **more}
    gone = isinstance(found, Unavailable)
    reading = "unavailable" if gone else reading_of(found.interval, str(fields["direction"]))
    fields = {"reading": reading, **fields}
    return Comparison(metric=metric, treatment=treatment, estimate=None if gone else found, unavailable=found if gone else None, **fields)


def rate(p0: float, p1: float, n0: int, n1: int, **more: object) -> Estimate:
    se = math.sqrt(p0 * (1 - p0) / n0 + p1 * (1 - p1) / n1)
    return estimate(p0, p1, se, n0, n1, **{"method": "pooled_z", "interval_method": "score", "lift_method": "log", **more})


def decision(verdict: str | None, reason: str, **more: object) -> Decision:
    fields = {
        "verdict": verdict,
        "state": "valid",
        "rule": "6",
        "reason": reason,
        "confidence": "MEDIUM-HIGH",
        "risk_level": "medium",
        "reasoning": (),
        "next_steps": (),
    }
    return Decision(**{**fields, **more})


def plan(actual: int, **more: object) -> PlanStatus:
    fields = {
        "planned_n": None,
        "planned_from": "none",
        "actual_n": actual,
        "complete": True,
        "min_days_met": True,
        "max_days_reached": False,
        "days": None,
        "planned_mde": None,
        "mde_kind": "relative",
        "power_at_mde": None,
        "detectable_effect": None,
        "detectable_lift": None,
        "alpha": 0.05,
        "power": 0.8,
        "method": "fixed",
        "alternative": "two-sided",
        "objective": "superiority",
        "correction": "none",
        "secondary_correction": "none",
        "reason": "no plan of size was recorded, so the data is read as complete",
    }
    return PlanStatus(**{**fields, **more})


def intake(units: int, **more: object) -> Intake:
    fields = {
        "source": "data/visits.parquet",
        "engine": "duckdb",
        "fingerprint": FINGERPRINT,
        "shape": "units",
        "rows": units,
        "units": units,
    }
    return Intake(**{**fields, **more})


def arms(sizes: dict[str, int], shares: dict[str, float], control: str) -> tuple[ArmSummary, ...]:
    total = sum(sizes.values())
    return tuple(
        ArmSummary(
            key=key,
            role="control" if key == control else "treatment",
            n=n,
            planned_share=shares.get(key),
            observed_share=n / total if total else 0.0,
            planned_n=None,
        )
        for key, n in sizes.items()
    )


SRM_OK = SrmCheck(status="ok", chi_square=0.412, df=1, p_value=0.521, reason="sizes agree with the plan")


def scorecard(**more: object) -> Scorecard:
    fields = {
        "schema_version": 1,
        "experiment": "sample",
        "name": "",
        "kind": "ab_test",
        "hypothesis": "",
        "version": "1.0.0",
        "spec_hash": HASH,
        "code_version": "0.1.0",
        "unit": "user_id",
        "as_of": None,
        "control": "control",
        "looks": 0,
        "error_control": "fixed",
        "srm": SRM_OK,
        "incremental": (),
        "findings": (),
    }
    return Scorecard(**{**fields, **more})


def advertising() -> Scorecard:
    """The quickstart: advertisement against public-service announcement."""
    found = Estimate(
        effect=0.007692453192,
        interval=Interval(low=0.0058749305077, high=0.0093616866741),
        p_value=1.705280716e-13,
        std_error=0.001043741065,
        statistic=7.370078127,
        df=None,
        control=0.01785410644,
        treatment=0.02554655964,
        n_control=23524,
        n_treatment=564577,
        alpha=0.05,
        alternative="two-sided",
        method="pooled_z",
        interval_method="score",
        lift=0.4308506402,
        lift_interval=Interval(low=0.2996965800, high=0.5752396259),
        lift_method="log",
    )
    verdict = decision(
        "LAUNCH",
        "practical",
        reasoning=(
            "no guardrails were declared",
            "the interval lies above 0",
            "the estimated improvement of 43.1% reaches the practical threshold of 10.0%",
            "no plan was recorded, so the data is read as complete",
        ),
        next_steps=("Launch in stages while guardrails are monitored.",),
    )
    return scorecard(
        experiment="advertising_holdout",
        name="Does the advertisement sell?",
        kind="holdout",
        hypothesis="Users who see the advertisement buy more often than users who see a public-service announcement in its place.",
        control="psa",
        primary="converted",
        treatment="ad",
        decision=verdict,
        decisions={"ad": verdict},
        arms=arms({"ad": 564577, "psa": 23524}, {"ad": 0.96, "psa": 0.04}, "psa"),
        plan=plan(588101, planned_mde=0.10, power_at_mde=0.5137, detectable_effect=0.002545, detectable_lift=0.1425),
        srm=SrmCheck(status="ok", chi_square=7.084950828e-08, df=1, p_value=0.9997876225, reason="sizes agree with the plan"),
        comparisons=(compared("converted", "ad", found, role="primary"),),
        incremental=(
            Incremental(
                metric="converted",
                treatment="ad",
                value=4342.94,
                interval=Interval(low=3316.85, high=5285.39),
                share=0.30111,
            ),
        ),
        findings=(
            Finding(
                code="no_plan",
                severity="info",
                message="No plan of size was recorded before the data came.",
                action="Plan the next one with `fairtrial power`, so that its size follows from the effect that matters.",
            ),
        ),
        intake=intake(588101, source="marketing_ab.parquet", notes=("the order of rows is not used",)),
    )


def _guardrails() -> tuple[Comparison, ...]:
    n = 21306
    latency = estimate(412.0, 418.3, 1.9, n, n)
    crashes = rate(0.0121, 0.0163, n, n)
    refunds = rate(0.031, 0.0322, n, n)

    def rail(status: str, found: Estimate | None, margin: float, reason: str, *, proven: bool | None, scale: str = "relative") -> Guardrail:
        divisor = found.control if found is not None and scale == "relative" else 1.0
        ends = None if found is None else Interval(low=found.interval.low / divisor, high=found.interval.high / divisor)
        harm = None if found is None else found.effect / divisor
        return Guardrail(status=status, harm=harm, interval=ends, margin=margin, scale=scale, non_inferior=proven, reason=reason)

    gone = Unavailable(code="missing_column", reason="the table has no column support_tickets")
    return (
        compared(
            "page_latency_ms",
            "mens",
            latency,
            kind="mean",
            role="guardrail",
            direction="decrease",
            guardrail=rail("PASS", latency, 0.05, "the harm of 1.5% lies within the 5% tolerated", proven=True),
        ),
        compared(
            "crash_rate",
            "mens",
            crashes,
            role="guardrail",
            direction="decrease",
            guardrail=rail("ALERT", crashes, 0.10, "the harm of 34.7% exceeds the 10% tolerated", proven=False),
        ),
        compared(
            "refund_rate",
            "mens",
            refunds,
            role="guardrail",
            direction="decrease",
            guardrail=rail("WARNING", refunds, 0.001, "the estimated harm exceeds the 0.1 pp tolerated", proven=False, scale="absolute"),
        ),
        compared(
            "support_tickets",
            "mens",
            gone,
            kind="count",
            role="guardrail",
            direction="decrease",
            guardrail=rail("UNAVAILABLE", None, 0.0, "no data is never a pass", proven=None),
        ),
    )


def three_arms() -> Scorecard:
    """Two treatments under Holm, all four guardrail states, secondaries, something unavailable."""
    n = 21306
    mens = rate(0.1062, 0.1828, n, 21307, alpha=0.025, p_adjusted=1.14e-111, correction="holm")
    womens = rate(0.1062, 0.1114, n, 21387, alpha=0.05, p_adjusted=0.0853, correction="holm")
    bh = {"correction": "benjamini-hochberg"}
    stop = decision(
        "NO_LAUNCH",
        "guardrail",
        rule="1",
        confidence="HIGH",
        risk_level="high",
        reasoning=("crash_rate: the harm of 34.7% exceeds the 10% tolerated", "the interval lies above 0"),
        next_steps=("Find out why the guardrail moved before anything else.", "Mend it and test again."),
    )
    open_ = decision(
        "NO_LAUNCH",
        "inconclusive",
        rule="10",
        confidence="LOW",
        risk_level="low",
        reasoning=("the interval includes 0",),
        next_steps=("Do not launch on this evidence.", "Plan a larger test, use a covariate, or choose a more sensitive metric."),
    )
    return scorecard(
        experiment="email_campaign_2008",
        name="Which e-mail brings customers back?",
        hypothesis="An e-mail about men's or women's merchandise raises visits over two weeks.",
        unit="customer",
        as_of="2008-04-15T00:00:00Z",
        control="no_email",
        primary="visit",
        treatment="mens",
        decision=stop,
        decisions={"mens": stop, "womens": open_},
        arms=arms({"no_email": 21306, "mens": 21307, "womens": 21387}, dict.fromkeys(("no_email", "mens", "womens"), 1 / 3), "no_email"),
        plan=plan(
            64000,
            planned_n=60000,
            planned_from="power",
            planned_mde=0.08,
            power_at_mde=0.9123,
            detectable_effect=0.00844,
            detectable_lift=0.0795,
            days=14.0,
            correction="holm",
            secondary_correction="benjamini-hochberg",
            reason="the planned 60,000 units have come",
        ),
        srm=SrmCheck(status="ok", chi_square=0.20253125, df=2, p_value=0.9036929576, reason="sizes agree with the plan"),
        comparisons=(
            compared("visit", "mens", mens, role="primary"),
            compared("visit", "womens", womens, role="primary"),
            *_guardrails(),
            compared("conversion", "mens", rate(0.0057, 0.0125, n, 21307, alpha=0.0333, p_adjusted=4.6e-13, **bh)),
            compared("conversion", "womens", rate(0.0057, 0.0069, n, 21387, alpha=0.05, p_adjusted=0.131, **bh)),
            compared(
                "spend",
                "mens",
                estimate(0.6528, 1.4226, 0.1450, n, 21307, alpha=0.0333, p_adjusted=3.3e-7, theta=0.0011, variance_reduction=0.021, **bh),
                kind="mean",
            ),
            compared("spend", "womens", Unavailable(code="constant", reason="spend is the same for every unit of womens"), kind="mean"),
            compared("unsubscribed", "mens", rate(0.0210, 0.0188, n, 21307, p_adjusted=0.2101, **bh), direction="decrease"),
        ),
        findings=(
            Finding(
                code="outlier",
                severity="warning",
                message="One unit of mens with spend = 499 carries 12% of that arm's variation (mean 1.423).",
                action="Look at this unit. If such values are not to decide, declare winsorize for the metric (0.99, say).",
                metric="spend",
                arm="mens",
                numbers={"value": 499.0, "share": 0.1213, "mean": 1.4226},
            ),
            Finding(
                code="duplicate_events",
                severity="info",
                message="1,204 repeated events were dropped by their event id.",
                action="Nothing: each event counts once.",
                numbers={"events": 1204},
            ),
        ),
        intake=intake(64000, source="hillstrom.csv", shape="logs", rows=64013, duplicate_events=1204, units_in_two_arms=13),
    )


def invalid_srm() -> Scorecard:
    """A sample-ratio mismatch: numbers are there, but must not be read."""
    found = rate(0.0721, 0.0764, 821588, 815482)
    verdict = decision(
        None,
        "invalid",
        state="invalid",
        rule="0",
        confidence=None,
        risk_level="high",
        reasoning=("the arms do not have their planned sizes (units: control 821,588, treatment 815,482; p = 1.8e-06)",),
        next_steps=("Do not read the effects: find and mend the cause first.", "Run the experiment again once the data is sound."),
    )
    return scorecard(
        experiment="new-ranking",
        primary="clicked",
        treatment="treatment",
        decision=verdict,
        decisions={"treatment": verdict},
        arms=arms({"control": 821588, "treatment": 815482}, {"control": 0.5, "treatment": 0.5}, "control"),
        plan=plan(1637070, planned_n=1600000, planned_from="sample_size", reason="the planned 1,600,000 units have come"),
        srm=SrmCheck(status="mismatch", chi_square=22.774369, df=1, p_value=1.822e-6, reason="sizes do not agree with the plan"),
        comparisons=(compared("clicked", "treatment", found, role="primary"),),
        findings=(
            Finding(
                code="srm",
                severity="critical",
                message="The arms do not have their planned sizes (units: control 821,588, treatment 815,482; p = 1.8e-06).",
                action="Do not read the effects. Look for units lost or doubled in one arm: redirects, crashes, bots, late logging.",
                numbers={"chi_square": 22.774369, "p_value": 1.822e-6, "control": 821588, "treatment": 815482},
            ),
        ),
        intake=intake(1637070, source="postgresql://warehouse/experiments"),
    )


def not_enough_data() -> Scorecard:
    """Nobody converted: no estimate, no verdict, and no number invented."""
    gone = Unavailable(code="constant", reason="nobody converted in any arm, so a difference cannot be estimated")
    verdict = decision(
        None,
        "not_enough_data",
        state="not_enough_data",
        rule="0b",
        confidence="LOW",
        risk_level="low",
        reasoning=("nobody converted in any arm",),
        next_steps=("Rerun with more units, or choose a metric that more units reach.",),
    )
    return scorecard(
        experiment="tiny",
        primary="bought",
        treatment="blue",
        decision=verdict,
        decisions={"blue": verdict},
        arms=arms({"control": 9, "blue": 8}, {}, "control"),
        plan=plan(
            17, planned_n=5000, planned_from="sample_size", complete=True, max_days_reached=True, reason="the longest run has been reached"
        ),
        srm=SrmCheck(status="skipped", chi_square=None, df=None, p_value=None, reason="the planned shares were not recorded"),
        comparisons=(compared("bought", "blue", gone, role="primary"),),
        intake=intake(17, source="memory", engine="memory", units_checked=False),
    )


def extend_one_sided() -> Scorecard:
    """A plan still running, one-sided, lower is better: an infinite end on the better side."""
    found = estimate(3.482, 3.391, 0.061, 8120, 8044, alternative="less")
    harmless = estimate(0.912, 0.918, 0.0102, 8120, 8044, alternative="greater")
    verdict = decision(
        "EXTEND_TEST",
        "plan_incomplete",
        rule="3",
        confidence="LOW",
        risk_level="low",
        reasoning=("the interval includes 0", "the plan is not complete", "the shortest planned run has not been reached"),
        next_steps=("Let the experiment run to its planned size.", "Do not stop on a good or a bad day: the plan controls the error."),
    )
    return scorecard(
        experiment="faster-checkout",
        name="Does the short form shorten checkout?",
        primary="checkout_minutes",
        treatment="short_form",
        as_of="2024-05-09T06:00:00Z",
        decision=verdict,
        decisions={"short_form": verdict},
        arms=arms({"control": 8120, "short_form": 8044}, {"control": 0.5, "short_form": 0.5}, "control"),
        plan=plan(
            16164,
            planned_n=42000,
            planned_from="power",
            complete=False,
            min_days_met=False,
            days=5.25,
            planned_mde=0.1,
            mde_kind="absolute",
            power_at_mde=0.4987,
            detectable_effect=0.1517,
            detectable_lift=0.0436,
            alternative="one-sided",
            reason="16,164 of 42,000 planned units have come",
        ),
        comparisons=(
            compared("checkout_minutes", "short_form", found, kind="mean", role="primary", direction="decrease"),
            compared("orders_per_user", "short_form", harmless, kind="count"),
        ),
        intake=intake(16164),
    )


def _wide_row(i: int, j: int, treatment: str) -> Comparison:
    role = "primary" if i == 0 else "guardrail" if i in {9, 10, 11} else "secondary"
    direction = "decrease" if i in {4, 9, 11} else "increase"
    base = 0.05 + 0.02 * i
    found = rate(base, base * (1 + 0.045 * math.sin(3.0 * i + 1.7 * j)), 40000, 10000)
    metric = f"metric_{i + 1:02d}_{'rate' if i % 2 else 'share'}"
    if role != "guardrail":
        found = dataclasses.replace(found, p_adjusted=min(1.0, 3 * found.p_value), correction="holm")
        return compared(metric, treatment, found, role=role, direction=direction)
    ends = found.lift_interval if direction == "decrease" else Interval(low=-found.lift_interval.high, high=-found.lift_interval.low)
    harm = found.lift if direction == "decrease" else -found.lift
    state = "PASS" if harm <= 0.03 else "WARNING"
    reason = f"the harm of {100 * harm:.1f}% {'lies within' if state == 'PASS' else 'exceeds'} the 3% tolerated"
    rail = Guardrail(status=state, harm=harm, interval=ends, margin=0.03, scale="relative", non_inferior=ends.high <= 0.03, reason=reason)
    return compared(metric, treatment, found, role=role, direction=direction, guardrail=rail)


def wide() -> Scorecard:
    """Twelve metrics by five treatments."""
    sizes = {"control": 40000} | {f"variant_{letter}": 10000 for letter in "abcde"}
    treatments = [key for key in sizes if key != "control"]
    no = decision("NO_LAUNCH", "inconclusive", rule="10", confidence="LOW", risk_level="low", reasoning=("the interval includes 0",))
    verdicts = dict.fromkeys(treatments, no)
    return scorecard(
        experiment="homepage-redesign",
        name="Five home pages against the one we have",
        primary="metric_01_share",
        treatment="variant_a",
        decision=no,
        decisions=verdicts,
        arms=arms(sizes, {"control": 4 / 9, **dict.fromkeys(treatments, 1 / 9)}, "control"),
        plan=plan(90000, correction="holm", secondary_correction="holm"),
        comparisons=tuple(_wide_row(i, j, treatment) for i in range(12) for j, treatment in enumerate(treatments)),
        intake=intake(90000),
    )


def hostile_names() -> Scorecard:
    """Names that try to break the page or the line: HTML, markup, right-to-left, CJK, emoji, very long."""
    script = "<script>alert(1)</script>"
    names = (
        script,
        "[bold red]not markup[/]",
        "转化率与收入",
        "معدل التحويل",
        "taux net d\N{RIGHT SINGLE QUOTATION MARK}achat 🛒",
        "a_very_long_metric_name_" * 5,
        '{{ 7 * 7 }} & "quoted"',
        "over\u202eride\x1b[31m",
    )
    treatment = "<b>处理组</b>"
    comparisons = tuple(
        compared(name, treatment, rate(0.10 + i / 100, 0.11 + i / 100, 9000, 9100), role="primary" if i == 0 else "secondary")
        for i, name in enumerate(names)
    )
    verdict = decision(
        "CONSIDER_LAUNCH", "small", rule="7", confidence="MEDIUM", reasoning=(f"{script} & more",), next_steps=(f"Weigh {script}",)
    )
    return scorecard(
        experiment="实验<img src=x onerror=alert(2)>",
        name=f"{script} تجربة الصفحة الرئيسية",
        hypothesis='"><svg onload=alert(3)>',
        control="对照组",
        primary=script,
        treatment=treatment,
        decision=verdict,
        decisions={treatment: verdict},
        arms=arms({"对照组": 9000, treatment: 9100}, {"对照组": 0.5, treatment: 0.5}, "对照组"),
        plan=plan(18100, reason=f"{script}"),
        comparisons=comparisons,
        findings=(
            Finding(code="x", severity="warning", message=script, action=script, metric=script, arm=treatment, numbers={script: script}),
        ),
        intake=intake(18100, source=script, notes=(script,), unknown_arms={script: 3}),
    )


def extremes() -> Scorecard:
    """Tiny and huge numbers, money, p-values at the edges, a control below zero, small counts."""
    rows = (
        compared("revenue", "b", estimate(48231.77, 51204.13, 1402.5, 5000, 5000), kind="mean", role="primary"),
        compared("error_share", "b", rate(0.0000042, 0.0000019, 90000000, 90000000), direction="decrease"),
        compared("joules", "b", estimate(3.1e-11, 3.4e-11, 1.2e-12, 5000, 5000), kind="mean"),
        compared("bytes", "b", estimate(7.3e14, 7.1e14, 3.1e12, 5000, 5000), kind="mean", direction="decrease"),
        compared("profit", "b", estimate(-12.4, -8.9, 1.3, 5000, 5000), kind="mean"),
        compared("edge", "b", estimate(1.0, 1.0980, 0.04998, 5000, 5000, p_value=0.04996), kind="mean"),
        compared("same", "b", estimate(2.0, 2.0, 0.01, 5000, 5000, p_value=1.0), kind="count"),
        compared("rare", "b", rate(0.0004, 0.0022, 5000, 5000, notes=("small_counts",), p_value=0.0215, method="fisher_exact")),
        compared("clicks_per_session", "b", estimate(0.3121, 0.3177, 0.0031, 5000, 5000), kind="ratio"),
        compared("one_sided", "b", estimate(5.0, 5.3, 0.1, 5000, 5000, alternative="greater"), kind="mean"),
        compared("huge_lift", "b", estimate(0.001, 0.9, 0.05, 5000, 5000), kind="mean"),
    )
    verdict = decision("CONSIDER_LAUNCH", "small", rule="7", confidence="MEDIUM", reasoning=("the interval lies above 0",))
    return scorecard(
        experiment="extremes",
        primary="revenue",
        treatment="b",
        decision=verdict,
        decisions={"b": verdict},
        arms=arms({"control": 5000, "b": 5000}, {"control": 0.5, "b": 0.5}, "control"),
        plan=plan(10000),
        comparisons=rows,
        intake=intake(10000),
    )


def harmful() -> Scorecard:
    """A treatment that does harm, to be taken off."""
    base = advertising()
    found = rate(0.0412, 0.0365, 30000, 30100)
    verdict = decision(
        "ROLLBACK",
        "harm",
        rule="2",
        confidence="HIGH",
        risk_level="critical",
        reasoning=("the interval lies below 0: the treatment does worse",),
        next_steps=("Take the treatment off now.", "Find out why the treatment does worse."),
    )
    return dataclasses.replace(
        base,
        experiment="shorter-trial",
        name="",
        kind="ab_test",
        hypothesis="",
        control="control",
        primary="subscribed",
        treatment="seven_days",
        decision=verdict,
        decisions={"seven_days": verdict},
        arms=arms({"control": 30000, "seven_days": 30100}, {"control": 0.5, "seven_days": 0.5}, "control"),
        plan=plan(60100),
        srm=SRM_OK,
        comparisons=(compared("subscribed", "seven_days", found, role="primary"),),
        incremental=(),
        findings=(),
        intake=intake(60100),
    )


SAMPLES = {
    "advertising": advertising,
    "three_arms": three_arms,
    "invalid_srm": invalid_srm,
    "not_enough_data": not_enough_data,
    "extend_one_sided": extend_one_sided,
    "wide": wide,
    "hostile_names": hostile_names,
    "extremes": extremes,
    "harmful": harmful,
}
"""By name: a function that builds the scorecard."""
