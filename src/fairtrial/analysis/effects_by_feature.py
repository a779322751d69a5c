"""conditional_effects(): do effects differ with many features at once, by an honest causal forest put to the test.

A forest grown on some units guesses at the effect in others; every unit's guess comes from folds that it is not
in. Trees are honest: the units that choose a split are not those that fill its leaves. Whether the guesses are worth anything is
then tested on outcomes that they have not seen (`stats.effect_scores`). What is reported are that test, average effects in fifths of the
guess, and how the fifths' features differ. There is no best segment here: who gains is a hypothesis for an experiment of its own.

Needs econml (extra `cate`).

Source: Wager & Athey (2018), Journal of the American Statistical Association 113, 1228-1242; Athey, Tibshirani & Wager (2019), Annals
of Statistics 47, 1148-1178; Chernozhukov, Demirer, Duflo & Fernandez-Val (2025), Econometrica 93, 1121-1164.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fairtrial.analysis.frame import MAX_ARMS, MetricLike
from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.spec.data import UnitsData
from fairtrial.stats.effect_scores import Coefficient, EffectsByScore, ScoreCalibration, calibrate_score, effects_by_score
from fairtrial.stats.means import welch_test
from fairtrial.stats.moments import Moments
from fairtrial.stats.result import Interval, check_alpha
from fairtrial.warehouse import distinct_arms
from fairtrial.warehouse.columns import read_columns

Floats = NDArray[np.float64]

FOLDS = 5
GROUPS = 5
LEAST_BY_ARM = 100
"""Units that each group of each arm holds at least."""

MAX_LEVELS = 20
"""Levels of a feature of text; one with more names units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestOptions:
    """How the forest is grown and read.

    Attributes:
        trees: Trees of each fold's forest, a multiple of 4, >= 100.
        seed: Of folds and trees: equal seeds, equal results.
        alpha: Error rate in (0, 1) of tests and intervals.
    """

    trees: int = 500
    seed: int = 0
    alpha: float = 0.05

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        if self.trees < 100 or self.trees % 4:
            raise UsageError(f"trees must be a multiple of 4 of at least 100, got {self.trees!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectGroup:
    """A fifth of the units by their expected effect.

    Attributes:
        n: Units, both arms.
        expected: Mean of the forest's guesses.
        effect: Average effect, measured on outcomes that the guesses have not seen; its interval holds for all groups at once.
    """

    n: int
    expected: float
    effect: Coefficient


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureProfile:
    """A feature in the lowest and the highest fifth.

    Attributes:
        feature: The column, of text with its level: "country = de".
        lowest: Mean in the fifth with the lowest expected effects; of a level its share.
        highest: Mean in the fifth with the highest.
        interval: 95% interval of highest - lowest, by itself.
    """

    feature: str
    lowest: float
    highest: float
    interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConditionalEffects:
    """Whether effects differ with the features, and how.

    Attributes:
        metric: Key of the metric.
        treatment: The arm that is compared.
        control: With this one.
        n: Units of both.
        calibration: The average effect, and the test of whether the forest's guesses sort units by their effect.
        differs: Whether that test rejects at `alpha`. If not, the groups are noise around the average, whatever they look like.
        groups: Average effects by fifths of the guess, the lowest first.
        spread: Highest fifth less lowest.
        profiles: Features of the highest fifth beside the lowest, in the order that was given.
        hurt: Whether a group's corrected interval lies on the harmful side while the average is for the better.
        expected: The guess for each row of the data, NaN for rows of other arms, shape (rows,).
        says: The result in a sentence or two.
    """

    metric: str
    treatment: str
    control: str
    n: int
    calibration: ScoreCalibration
    differs: bool
    groups: tuple[EffectGroup, ...]
    spread: Coefficient
    profiles: tuple[FeatureProfile, ...]
    hurt: bool
    expected: Floats
    says: str


def conditional_effects(
    data: Any,
    *,
    arm: str,
    metric: MetricLike,
    features: Sequence[str],
    pair: tuple[str, str] | None = None,
    shares: Mapping[str, float] | Literal["equal"] = "equal",
    unit: str | None = None,
    options: ForestOptions | None = None,
) -> ConditionalEffects:
    """Test whether the effect differs with features known before assignment, by a cross-fitted honest causal forest.

    Args:
        data: A pandas, polars or Arrow table, or the address of a file; one row a randomised unit.
        arm: Column that names the arm.
        metric: Made by `proportion`, `mean` or `count`, with its `direction` where less is better; missing outcomes are refused.
        features: Columns known before assignment: numbers, booleans, dates, or text of at most 20 levels. A missing number is the
            median with a column of its own that says so, a missing text a level.
        pair: Control and treatment; None where there are two arms and one is called "control".
        shares: Planned shares by arm.
        unit: Column that identifies the randomised unit; without it repeats cannot be seen.
        options: How the forest is grown and read.

    Raises:
        UsageError: An argument breaks a rule, or econml is not installed (code `missing_extra`).
        NotEnoughDataError: A fifth would hold fewer than 100 units of an arm.
        DataError: The data breaks a rule: repeated units, missing outcomes, features that do not vary.
    """
    grf: Any = _econml()
    if not features:
        raise UsageError("conditional_effects needs at least one feature, got none.", hint="Pass features=['age', 'country'].")
    how = options or ForestOptions()
    column, better = _metric(metric)
    arms = _pair(distinct_arms(data, arm, limit=MAX_ARMS), pair)
    rows = _rows(data, [arm, column, *features, *([unit] if unit else [])])
    share = _share(arms, shares)
    used = np.array([name in arms for name in rows[arm]], dtype=np.bool_)
    treated = np.array([name == arms[0] for name in rows[arm]], dtype=np.float64)[used]
    if unit is not None:
        _check_units(rows[unit], used)
    y = _outcomes(rows[column], column, used)
    names, x = _design(rows, features, used)
    least = min(int((treated == 1.0).sum()), int((treated == 0.0).sum()))
    if least < GROUPS * LEAST_BY_ARM:
        raise NotEnoughDataError(
            f"Fifths of at least {LEAST_BY_ARM} units an arm need {GROUPS * LEAST_BY_ARM} units in each, the smaller arm has {least}.",
            hint="Read effects by segment instead.",
            code="too_few_units",
        )
    score, baseline, groups = _guess(grf, y, treated, x, share, how)
    calibration = calibrate_score(y, treated, score, share=share, baseline=baseline, alpha=how.alpha)
    by_group = effects_by_score(y, treated, score, groups, share=share, baseline=baseline, alpha=how.alpha)
    expected = np.full(used.size, np.nan)
    expected[used] = score
    differs = calibration.slope.p_value < how.alpha
    hurt = _hurt(calibration, by_group, better)
    return ConditionalEffects(
        metric=str(metric["key"]),
        treatment=arms[0],
        control=arms[1],
        n=int(y.size),
        calibration=calibration,
        differs=differs,
        groups=tuple(
            EffectGroup(n=int((groups == k).sum()), expected=float(score[groups == k].mean()), effect=effect)
            for k, effect in enumerate(by_group.groups)
        ),
        spread=by_group.spread,
        profiles=_profiles(names, x, groups),
        hurt=hurt,
        expected=expected,
        says=_sentence(calibration, differs=differs, hurt=hurt),
    )


def _econml() -> Any:
    try:
        return import_module("econml.grf")
    except ImportError as error:
        raise UsageError(
            "Causal forests are grown by econml, which is not installed.", hint="pip install 'fairtrial[cate]'.", code="missing_extra"
        ) from error


def _metric(metric: MetricLike) -> tuple[str, int]:
    kind, column = metric.get("kind"), metric.get("column")
    if kind not in {"proportion", "mean", "count"} or not isinstance(column, str):
        raise UsageError(f"Effects by many features are read of a proportion, a mean or a count, got kind {kind!r}.")
    unread = sorted(set(metric) - {"key", "kind", "column", "direction", "role"})
    if unread:
        raise UsageError(f"Of a metric's options only direction and role are known here, got {unread}.")
    return column, -1 if metric.get("direction") == "decrease" else 1


def _pair(arms: Sequence[str], pair: tuple[str, str] | None) -> tuple[str, str]:
    """Treatment and control."""
    if pair is None:
        if len(arms) != 2 or "control" not in arms:
            raise UsageError(f"Say which two of the arms {list(arms)} are compared.", hint="Pass pair=('control', 'treatment').")
        return next(name for name in arms if name != "control"), "control"
    control, treatment = pair
    if control == treatment or not {control, treatment} <= set(arms):
        raise UsageError(f"The pair must be two of the arms {list(arms)}, got {pair}.")
    return treatment, control


def _share(arms: tuple[str, str], shares: Mapping[str, float] | Literal["equal"]) -> float:
    if shares == "equal":
        return 0.5
    missing = [name for name in arms if not shares.get(name, 0.0) > 0.0]
    if missing:
        raise UsageError(f"shares must give every arm a positive share, {missing} have none.")
    return shares[arms[0]] / (shares[arms[0]] + shares[arms[1]])


def _rows(data: Any, names: Sequence[str]) -> dict[str, tuple[float | str | None, ...]]:
    """Columns by name, arms as text."""
    table = UnitsData(source=str(data) if isinstance(data, str | Path) else "memory", unit=names[0])
    found = dict(read_columns(table, names, frame=None if isinstance(data, str | Path) else data).values)
    found[names[0]] = tuple(None if value is None else _as_arm(value) for value in found[names[0]])
    return found


def _as_arm(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.15g}"


def _check_units(units: Sequence[float | str | None], used: NDArray[np.bool_]) -> None:
    seen = [name for name, wanted in zip(units, used, strict=True) if wanted]
    if None in seen:
        raise DataError("Rows without a unit cannot be told apart.", code="missing_unit")
    if len(set(seen)) < len(seen):
        raise DataError("Units appear more than once.", hint="Aggregate to one row a unit first.", code="repeated_units")


def _outcomes(values: Sequence[float | str | None], column: str, used: NDArray[np.bool_]) -> Floats:
    kept = [value for value, wanted in zip(values, used, strict=True) if wanted]
    wrong = next((value for value in kept if not isinstance(value, float) or not np.isfinite(value)), 0.0)
    if not isinstance(wrong, float) or not np.isfinite(wrong):
        raise DataError(
            f"Column {column!r} must hold a number for every unit, it holds {wrong!r}.",
            hint="Fill what is missing by a rule, such as 0 for nothing bought, or leave the units out.",
            code="missing_outcome" if wrong is None else "wrong_type",
        )
    return np.array(kept, dtype=np.float64)


def _design(
    rows: Mapping[str, tuple[float | str | None, ...]], features: Sequence[str], used: NDArray[np.bool_]
) -> tuple[list[str], Floats]:
    """Features as numbers: text by level, missing numbers marked."""
    names: list[str] = []
    columns: list[Floats] = []
    for feature in dict.fromkeys(features):
        values = [value for value, wanted in zip(rows[feature], used, strict=True) if wanted]
        found = _levels(feature, values) if any(isinstance(value, str) for value in values) else _numbers(feature, values)
        varying = {name: column for name, column in found.items() if np.ptp(column) > 0.0}
        names += list(varying)
        columns += list(varying.values())
    if not columns:
        raise DataError("No feature varies, so effects cannot differ with them.", code="no_variance")
    return names, np.column_stack(columns)


def _levels(feature: str, values: Sequence[float | str | None]) -> dict[str, Floats]:
    levels = sorted({"(missing)" if value is None else str(value) for value in values})
    if len(levels) > MAX_LEVELS:
        raise UsageError(
            f"Feature {feature!r} has {len(levels)} levels, {MAX_LEVELS} are the most.", hint="Group its levels, or leave it out."
        )
    place = np.array([levels.index("(missing)" if value is None else str(value)) for value in values])
    return {f"{feature} = {level}": (place == i).astype(np.float64) for i, level in enumerate(levels)}


def _numbers(feature: str, values: Sequence[float | str | None]) -> dict[str, Floats]:
    column = np.array([np.nan if value is None else float(value) for value in values])
    gone = ~np.isfinite(column)
    if gone.all():
        return {feature: np.zeros(column.size)}
    filled = np.where(gone, np.median(column[~gone]), column)
    return {feature: filled} | ({f"{feature} is missing": gone.astype(np.float64)} if gone.any() else {})


def _guess(grf: Any, y: Floats, treated: Floats, x: Floats, share: float, how: ForestOptions) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Guesses of effects and outcomes from folds that a unit is not in, and the fifth of its guess within its fold.

    Folds hold both arms in their shares.
    """
    rng = np.random.default_rng(how.seed)
    fold = np.empty(y.size, dtype=np.int64)
    for level in (0.0, 1.0):
        inside = rng.permutation(np.flatnonzero(treated == level))
        fold[inside] = np.arange(inside.size) % FOLDS
    score, baseline, group = np.empty(y.size), np.empty(y.size), np.empty(y.size, dtype=np.int64)
    options = {"n_estimators": how.trees, "min_samples_leaf": 5, "max_samples": 0.45, "n_jobs": 1}
    for k in range(FOLDS):
        train, held = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        first, second = (int(value) for value in rng.integers(0, 2**31 - 1, 2))
        outcomes = grf.RegressionForest(**{**options, "n_estimators": max(how.trees // 16 * 4, 100)}, random_state=first)
        outcomes.fit(x[train], y[train])
        centred = y[train] - np.asarray(outcomes.oob_predict(x[train]), dtype=np.float64).ravel()
        centred = np.where(np.isfinite(centred), centred, y[train] - y[train].mean())
        forest = grf.CausalForest(**options, honest=True, inference=True, random_state=second)
        forest.fit(x[train], treated[train] - share, centred)
        score[held] = np.asarray(forest.predict(x[held]), dtype=np.float64).ravel()
        baseline[held] = np.asarray(outcomes.predict(x[held]), dtype=np.float64).ravel()
        order = held[np.lexsort((rng.random(held.size), score[held]))]
        group[order] = np.arange(held.size) * GROUPS // held.size
    return score, baseline, group


def _profiles(names: Sequence[str], x: Floats, groups: NDArray[np.int64]) -> tuple[FeatureProfile, ...]:
    lowest, highest = x[groups == 0], x[groups == GROUPS - 1]
    found: list[FeatureProfile] = []
    for i, name in enumerate(names):
        low, high = Moments.from_values(lowest[:, i]), Moments.from_values(highest[:, i])
        flat = low.m2 == 0.0 and high.m2 == 0.0
        gap = high.mean - low.mean
        interval = Interval(low=gap, high=gap) if flat else welch_test(low, high).interval
        found.append(FeatureProfile(feature=name, lowest=low.mean, highest=high.mean, interval=interval))
    return tuple(found)


def _hurt(calibration: ScoreCalibration, found: EffectsByScore, better: int) -> bool:
    if not better * calibration.average.value > 0.0:
        return False
    return any((group.interval.high < 0.0) if better > 0 else (group.interval.low > 0.0) for group in found.groups)


def _sentence(calibration: ScoreCalibration, *, differs: bool, hurt: bool) -> str:
    slope = calibration.slope
    worse = " A fifth of the units is worse off while the average is better: find out why before a rollout." if hurt else ""
    if not differs:
        return f"No sign that the effect differs with these features (p = {slope.p_value:.3g}): expect the average for everybody.{worse}"
    hypothesis = "Who gains is a hypothesis: test it in an experiment of its own."
    return f"The effect differs with these features (p = {slope.p_value:.3g}). {hypothesis}{worse}"
