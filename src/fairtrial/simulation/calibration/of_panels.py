"""Studies of difference in differences: few clusters, one treated cluster, shocks that last, effects that grow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairtrial.quasi import QuasiEstimate, aggregate_did, att_gt, did_2x2, did_two_way, event_study, impute_did
from fairtrial.quasi.did import ClusteredKind
from fairtrial.quasi.fixed_effects import SmallSample
from fairtrial.quasi.staggered import CleanComparison, CohortErrors, ControlGroup
from fairtrial.simulation.calibration.one_by_one import claimed, repeated
from fairtrial.simulation.calibration.samples import ALPHA, POWERED
from fairtrial.simulation.calibration.study import Case, Study

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PROMISE = "Where trends are parallel, it rejects a true null hypothesis with probability alpha, and its interval covers the effect."
ONE_TRUTH = "It moves with the effect, so that its size is one minus its coverage where the effect is one for all."
PERIODS = 8
STARTS = (4, 6)
"""First treated periods of the two cohorts, counted from 1."""


def panel_studies() -> tuple[Study, ...]:
    """Studies of two by two, event studies, and staggered adoption three ways."""
    return _two_by_two(), _events(), _pretrends(), _staggered(), _imputed(), _two_way()


def _two_by_two() -> Study:
    def case(
        name: str,
        words: str,
        groups: tuple[int, int],
        rows: int = 10,
        *,
        ignore: bool = False,
        skew: bool = False,
        kind: ClusteredKind = "satterthwaite",
    ) -> Case:
        treated_groups, others = groups
        clusters = treated_groups + others
        member = np.repeat(np.arange(clusters), 2 * rows)
        post = np.tile(np.repeat([0, 1], rows), clusters)
        treated = (member < treated_groups).astype(np.int64)
        # a cluster changes by a shock of its own with sd 0.5, and rows have sd 1
        change = 0.25 + 2.0 / rows
        effect = POWERED * float(np.sqrt(change * (1.0 / treated_groups + 1.0 / others)))

        def once(rng: np.random.Generator) -> tuple[bool | None, bool | None, bool | None]:
            level, shock = rng.standard_normal(clusters), 0.5 * _noise(rng, clusters, skew=skew)
            y = level[member] + post * (0.3 + shock[member]) + rng.standard_normal(member.size)
            kept = None if ignore else member
            return claimed(
                lambda: did_2x2(y, treated, post, cluster=kept, small_sample=kind).estimate,
                lambda: did_2x2(y + effect * treated * post, treated, post, cluster=kept, small_sample=kind).estimate,
                truth=effect,
            )

        return repeated(name, words, once)

    return Study(
        method="did_2x2",
        title="Difference in differences, two groups and two periods, clustered",
        promise=PROMISE,
        cases=(
            case("25+25", "25 clusters treated, 25 not, 10 rows a period in each", (25, 25)),
            case("10+10", "10 clusters treated, 10 not", (10, 10)),
            case("5+5", "5 clusters treated, 5 not", (5, 5)),
            case("3+3", "3 clusters treated, 3 not", (3, 3)),
            case("10+40", "10 clusters treated, 40 not", (10, 40)),
            case("5+45", "5 clusters treated, 45 not", (5, 45)),
            case("2+38", "2 clusters treated, 38 not", (2, 38)),
            case("1+39", "1 cluster treated, 39 not", (1, 39)),
            case("5+45, CR1", "5 clusters treated, 45 not, errors CR1 as other programs have them", (5, 45), kind="cr1"),
            case("1+39, CR1", "1 cluster treated, 39 not, errors CR1", (1, 39), kind="cr1"),
            case("10+10 skewed", "10 clusters treated, 10 not, with log-normal shocks", (10, 10), skew=True),
            case(
                "clusters ignored", "25 clusters treated, 25 not, 40 rows a period in each, taken as independent", (25, 25), 40, ignore=True
            ),
        ),
        note=(
            "Each cluster has a level and a shock between the periods of its own. Errors are those of specs (`satterthwaite`) but where "
            "a case says CR1. With two treated clusters they hold and see next to nothing; one alone is taken to vary as the others do."
        ),
    )


def _noise(rng: np.random.Generator, n: int, *, skew: bool) -> Floats:
    """Mean 0, variance 1."""
    draws = rng.standard_normal(n)
    return (np.exp(draws) - np.exp(0.5)) / 2.1612 if skew else draws


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    """Units over eight periods with levels and shocks that last (first-order autoregression, variance 1).

    Attributes:
        cohorts: Units by cohort, the last of them never treated.
        starts: First treated period of each cohort but the last.
        lasting: Autocorrelation of a unit's shocks.
        growth: By how much the effect grows a period after the start, in units of the effect at the start.
        drift: By how much treated units drift away a period, whether treated or not.
        skew: Whether shocks are log-normal.
    """

    cohorts: tuple[int, ...]
    starts: tuple[int, ...]
    lasting: float = 0.5
    growth: float = 0.0
    drift: float = 0.0
    skew: bool = False

    @property
    def first(self) -> Ints:
        """First treated period of each unit, 0 for never."""
        return np.repeat([*self.starts, 0], self.cohorts)

    @property
    def columns(self) -> tuple[Ints, Ints, Ints]:
        """Unit, period and cohort of each row."""
        units = sum(self.cohorts)
        return np.repeat(np.arange(units), PERIODS), np.tile(np.arange(1, PERIODS + 1), units), np.repeat(self.first, PERIODS)

    @property
    def dose(self) -> Floats:
        """Effect of each row in units of the effect at the start; 0 where not treated."""
        _, period, first = self.columns
        on = (first > 0) & (period >= first)
        return np.where(on, 1.0 + self.growth * (period - first), 0.0)

    @property
    def mean_dose(self) -> float:
        """Of the treated rows."""
        dose = self.dose
        return float(dose[dose > 0.0].mean())

    @property
    def effect(self) -> float:
        """Large enough that a comparison of the treated with the others sees it in most experiments."""
        treated, others = sum(self.cohorts[:-1]), self.cohorts[-1]
        return POWERED * float(np.sqrt(0.7 * (1.0 / treated + 1.0 / others)))

    def draw(self, rng: np.random.Generator) -> Floats:
        """Outcomes without an effect, a row each."""
        units = sum(self.cohorts)
        shocks = np.empty((units, PERIODS))
        shocks[:, 0] = _noise(rng, units, skew=self.skew)
        for t in range(1, PERIODS):
            shocks[:, t] = self.lasting * shocks[:, t - 1] + np.sqrt(1.0 - self.lasting**2) * _noise(rng, units, skew=self.skew)
        away = self.drift * np.outer(self.first > 0, np.arange(PERIODS))
        return (2.0 * rng.standard_normal((units, 1)) + 0.2 * np.arange(PERIODS) + shocks + away).ravel()


Analyse = Callable[[Floats, _Panel], QuasiEstimate]


def _panel_case(name: str, words: str, panel: _Panel, analyse: Analyse) -> Case:
    """Coverage of the mean effect of the treated rows, size without an effect, and power."""
    dose, truth = panel.effect * panel.dose, panel.effect * panel.mean_dose

    def once(rng: np.random.Generator) -> tuple[bool | None, bool | None, bool | None]:
        y = panel.draw(rng)
        return claimed(lambda: analyse(y, panel), lambda: analyse(y + dose, panel), truth=truth)

    return repeated(name, words, once)


def _of_events(small_sample: SmallSample) -> Analyse:
    def analyse(y: Floats, panel: _Panel) -> QuasiEstimate:
        return event_study(y, *panel.columns, small_sample=small_sample).estimate

    return analyse


def _of_groups(control: ControlGroup, small_sample: CohortErrors = "satterthwaite") -> Analyse:
    def analyse(y: Floats, panel: _Panel) -> QuasiEstimate:
        against = CleanComparison(control=control, small_sample=small_sample)
        return aggregate_did(att_gt(y, *panel.columns, against=against)).estimate

    return analyse


def _of_imputed(small_sample: CohortErrors) -> Analyse:
    def analyse(y: Floats, panel: _Panel) -> QuasiEstimate:
        return impute_did(y, *panel.columns, small_sample=small_sample).estimate

    return analyse


def _of_two_way(small_sample: SmallSample) -> Analyse:
    def analyse(y: Floats, panel: _Panel) -> QuasiEstimate:
        unit, period, _ = panel.columns
        return did_two_way(y, unit, period, panel.dose > 0.0, small_sample=small_sample).estimate

    return analyse


def _events() -> Study:
    def case(
        name: str,
        words: str,
        cohorts: tuple[int, int],
        lasting: float = 0.5,
        drift: float = 0.0,
        *,
        skew: bool = False,
        kind: SmallSample = "satterthwaite",
    ) -> Case:
        panel = _Panel(cohorts=cohorts, starts=(5,), lasting=lasting, drift=drift, skew=skew)
        return _panel_case(name, words, panel, _of_events(kind))

    return Study(
        method="event_study",
        title="Event study with unit and period effects",
        promise=PROMISE,
        cases=(
            case("40+40", "40 units treated, 40 not, 4 periods before and after, shocks with autocorrelation 0.5", (40, 40)),
            case("10+10", "10 units treated, 10 not", (10, 10)),
            case("5+5", "5 units treated, 5 not", (5, 5)),
            case("4+46", "4 units treated, 46 not", (4, 46)),
            case("2+48", "2 units treated, 48 not", (2, 48)),
            case("4+46 skewed", "4 units treated, 46 not, log-normal shocks", (4, 46), skew=True),
            case("4+46, CR1", "4 units treated, 46 not, errors CR1 as other programs have them", (4, 46), kind="nested"),
            case("lasting shocks", "20 units treated, 20 not, autocorrelation 0.9", (20, 20), 0.9),
            case("skewed", "20 units treated, 20 not, log-normal shocks", (20, 20), skew=True),
            case(
                "trends diverge",
                "40 units treated, 40 not, drifting apart by a tenth of a standard deviation a period",
                (40, 40),
                drift=0.1,
            ),
        ),
        note=(
            f"{ONE_TRUTH} Errors are by unit, the treated and the others apart (`satterthwaite`). That trends diverge is no fault of "
            "the error: see the test before the start."
        ),
    )


def _pretrends() -> Study:
    def case(name: str, words: str, cohorts: tuple[int, int], lasting: float = 0.5, kind: SmallSample = "satterthwaite") -> Case:
        panel = _Panel(cohorts=cohorts, starts=(5,), lasting=lasting)
        apart = _Panel(cohorts=cohorts, starts=(5,), lasting=lasting, drift=0.2)

        def once(rng: np.random.Generator) -> tuple[bool, None, bool]:
            tests = [event_study(of.draw(rng), *of.columns, small_sample=kind).pretrend for of in (panel, apart)]
            null, seen = (test is not None and test.p_value < ALPHA for test in tests)
            return null, None, seen

        return repeated(name, words, once)

    return Study(
        method="pretrend_test",
        title="Joint test of trends before the treatment",
        promise="Where trends are parallel, it rejects with probability alpha.",
        cases=(
            case("100+100", "100 units treated, 100 not, three coefficients before the start", (100, 100)),
            case("40+40", "40 units treated, 40 not", (40, 40)),
            case("10+10", "10 units treated, 10 not", (10, 10)),
            case("8+42", "8 units treated, 42 not", (8, 42)),
            case("4+46", "4 units treated, 46 not: not tested, and said so", (4, 46)),
            case("4+46, CR1", "4 units treated, 46 not, errors CR1 as other programs have them", (4, 46), kind="nested"),
            case("lasting shocks", "40 units treated, 40 not, autocorrelation 0.9", (40, 40), 0.9),
        ),
        note="Power is that against a drift of a fifth of a standard deviation a period: to pass is weak support, never proof.",
    )


def _grid(analyse: Analyse, published: Analyse, extra: Sequence[Case] = ()) -> tuple[Case, ...]:
    """Two cohorts that start in the fourth and the sixth of eight periods."""

    def case(name: str, words: str, cohorts: tuple[int, int, int], growth: float = 0.0, *, skew: bool = False) -> Case:
        return _panel_case(name, words, _Panel(cohorts=cohorts, starts=STARTS, growth=growth, skew=skew), analyse)

    return (
        case("20+20+40", "cohorts of 20 and 20, 40 never treated, one effect for all", (20, 20, 40)),
        case("growing", "the same, the effect growing by half of itself a period", (20, 20, 40), 0.5),
        case("10+10+10", "cohorts of 10 and 10, 10 never treated", (10, 10, 10)),
        case("4+4+8", "cohorts of 4 and 4, 8 never treated", (4, 4, 8)),
        case("3+3+44", "cohorts of 3 and 3, 44 never treated", (3, 3, 44)),
        case("skewed", "cohorts of 20 and 20, 40 never treated, log-normal shocks", (20, 20, 40), skew=True),
        case("1+4+45", "cohorts of 1 and 4, 45 never treated", (1, 4, 45)),
        _panel_case(
            "3+3+44, published",
            "cohorts of 3 and 3, 44 never treated, errors as other programs have them",
            _Panel(cohorts=(3, 3, 44), starts=STARTS),
            published,
        ),
        *extra,
    )


def _staggered() -> Study:
    later = _panel_case(
        "not yet treated",
        "cohorts of 20 and 20, 20 never treated, compared with all who are not yet",
        _Panel(cohorts=(20, 20, 20), starts=STARTS, growth=0.5),
        _of_groups("not_yet_treated"),
    )
    return Study(
        method="staggered_did",
        title="Staggered adoption by clean comparisons (Callaway and Sant'Anna)",
        promise=PROMISE,
        cases=_grid(_of_groups("never_treated"), _of_groups("never_treated", "none"), (later,)),
        note=(
            "The truth is the mean effect over treated rows. Errors come from influence functions, by cohort and with Student's quantile "
            "as specs have them (`satterthwaite`); those published take a normal quantile."
        ),
    )


def _imputed() -> Study:
    return Study(
        method="imputed_did",
        title="Staggered adoption by imputation",
        promise=PROMISE,
        cases=_grid(_of_imputed("satterthwaite"), _of_imputed("none")),
        note=(
            "The truth is the mean effect over treated rows. Errors are by cohort and with Student's quantile as specs have them "
            "(`satterthwaite`); those published take a normal quantile."
        ),
    )


def _two_way() -> Study:
    return Study(
        method="did_two_way",
        title="One coefficient with unit and period effects, staggered adoption",
        promise=f"{PROMISE[:-1]}, if that is one for all units and periods.",
        cases=_grid(_of_two_way("satterthwaite"), _of_two_way("nested")),
        note="Where effects grow, cohorts already treated serve as controls and their growth is subtracted: take the clean comparisons.",
    )
