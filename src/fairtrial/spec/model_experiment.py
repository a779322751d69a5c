"""The model-experiment form: a champion model against its challengers.

The champion is the control, the challengers are the treatments; what the form
means is said by `ExperimentConfig.to_spec`. Directions and types of metrics are
declared, never guessed from their names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Annotated, Literal, cast

from pydantic import Field, model_validator

from fairtrial.errors import did_you_mean
from fairtrial.spec.base import ExperimentKey, Name, Share, SpecModel
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.plan import Days
from fairtrial.spec.problems import validated
from fairtrial.spec.serving import Serving

DEFAULT_MIN_DAYS = 14
"""Two whole weeks; a shorter `max_duration_days` shortens it."""

SHARE_STEP = Decimal("0.0001")
"""Model traffic is cut into 10,000 parts."""

NOISE = Decimal("1e-9")
"""Float noise that a share may carry."""

Direction = Literal["increase", "decrease"]
ModelMetricType = Literal["proportion", "continuous", "mean", "count"]
Limit = Annotated[float, Field(allow_inf_nan=True)] | None
KINDS = {"proportion": "proportion", "continuous": "mean", "mean": "mean", "count": "count"}


@dataclass(frozen=True, slots=True)
class ExperimentConfig:
    """An experiment of a champion model against one or more challengers.

    Attributes:
        name: Key of the experiment.
        champion_model: The model in use; the control.
        challenger_models: The models that may replace it.
        traffic_allocation: Share of traffic by model, multiples of 0.0001 that sum to 1.
        primary_metric: The metric that carries the decision.
        secondary_metrics: Metrics that explain.
        guardrail_metrics: Smallest and largest value allowed by metric; None, an infinite
            end, or 0 below an upper limit mean that there is no limit on that side.
        min_sample_size: Units per arm that the plan asks for, >= 2.
        max_duration_days: The plan is complete after this many days.
        significance_level: Type I error rate in (0, 0.5).
        power: Probability to detect `minimum_detectable_effect`, in (alpha, 1).
        minimum_detectable_effect: Relative improvement of the primary metric, a fraction.
        directions: By metric: which way is better; default: `increase`, and for a guardrail
            the way that its limit points.
        metric_types: By metric: `proportion`, `continuous` (also `mean`) or `count`; default:
            `proportion` for the primary metric, `continuous` for the others.
        label_window_days: Days in which a prediction's true outcome may arrive.
        min_duration_days: No verdict of success before this many days; the default
            yields to a shorter `max_duration_days`.
        practical_threshold: Smallest lift worth a rollout, a fraction.
        strong_threshold: Lift that makes a full rollout, a fraction.

    Raises:
        SpecError: A rule is broken; the message lists all that are.
    """

    name: str
    champion_model: str
    challenger_models: Sequence[str]
    traffic_allocation: Mapping[str, float]
    primary_metric: str
    secondary_metrics: Sequence[str]
    guardrail_metrics: Mapping[str, tuple[float | None, float | None]]
    min_sample_size: int
    max_duration_days: int
    significance_level: float = 0.05
    power: float = 0.8
    minimum_detectable_effect: float = 0.05
    directions: Mapping[str, Direction] = field(default_factory=dict[str, Direction])
    metric_types: Mapping[str, ModelMetricType] = field(default_factory=dict[str, ModelMetricType])
    label_window_days: int | None = None
    min_duration_days: int = DEFAULT_MIN_DAYS
    practical_threshold: float = 0.05
    strong_threshold: float = 0.20

    def __post_init__(self) -> None:
        self.to_spec()

    def to_spec(self) -> ExperimentSpec:
        """The same experiment in normal form.

        Returns:
            The champion as control; a guardrail limit as the limit of a guardrail metric
            (two metrics, the second named `<metric>_min`, when both ends bind); the
            planned units in total, such that every arm with traffic gets `min_sample_size`.
            An outcome that has not come (a label still due) is left out of its metric and
            counted; `label_window_days` has no part in it: it counts where labels are joined.
            A guardrail is the mean of its column over units: quantiles of a time window are
            the business of monitoring.

        Raises:
            SpecError: A rule is broken; the message lists all that are.
        """
        given = {item.name: cast("object", getattr(self, item.name)) for item in fields(self)}
        return translate_model_experiment(given, what=f"experiment config {self.name!r}")


def is_model_experiment(raw: object) -> bool:
    """Whether a mapping is written in the form of `ExperimentConfig`."""
    return isinstance(raw, Mapping) and "champion_model" in raw


def translate_model_experiment(raw: Mapping[str, object], *, what: str) -> ExperimentSpec:
    """Translate a mapping with the fields of `ExperimentConfig` into the normal form.

    Raises:
        SpecError: A key is unknown or a rule is broken.
    """
    if "serving" in raw:  # how it is served is no part of how it is analysed, but is checked with it
        validated(Serving, raw["serving"], what=f"serving of the {what}")
        raw = {name: value for name, value in raw.items() if name != "serving"}
    form = validated(_Checked, raw, what=what)
    spec: dict[str, object] = {
        "key": form.name,
        "arms": form.traffic_allocation,
        "control": form.champion_model,
        "metrics": _metrics(form),
        "plan": {
            "alpha": form.significance_level,
            "power": form.power,
            "mde": form.minimum_detectable_effect,
            "sample_size": _planned_units(form),
            "min_days": min(form.min_duration_days, form.max_duration_days),
            "max_days": form.max_duration_days,
            "practical_threshold": form.practical_threshold,
            "strong_threshold": form.strong_threshold,
        },
    }
    return validated(ExperimentSpec, spec, what=what)


class _Checked(SpecModel):
    """The fields of `ExperimentConfig` with their rules."""

    name: ExperimentKey
    champion_model: Name
    challenger_models: tuple[Name, ...] = Field(min_length=1)
    traffic_allocation: dict[Name, Share]
    primary_metric: Name
    secondary_metrics: tuple[Name, ...]
    guardrail_metrics: dict[Name, tuple[Limit, Limit]]
    min_sample_size: Annotated[int, Field(ge=2)]
    max_duration_days: Days
    significance_level: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    power: Annotated[float, Field(gt=0, lt=1)] = 0.8
    minimum_detectable_effect: Annotated[float, Field(gt=0)] = 0.05
    directions: dict[Name, Direction] = Field(default_factory=dict[str, Direction])
    metric_types: dict[Name, ModelMetricType] = Field(default_factory=dict[str, ModelMetricType])
    label_window_days: Days | None = None
    min_duration_days: Days = DEFAULT_MIN_DAYS
    practical_threshold: Annotated[float, Field(gt=0)] = 0.05
    strong_threshold: Annotated[float, Field(gt=0)] = 0.20

    @model_validator(mode="after")
    def _models_agree(self) -> _Checked:
        models = [self.champion_model, *self.challenger_models]
        if len(set(models)) < len(models):
            raise ValueError(f"models must differ from each other, got {models}")
        unknown = [name for name in self.traffic_allocation if name not in models]
        missing = [name for name in models if name not in self.traffic_allocation]
        if unknown or missing:
            hint = f" {did_you_mean(unknown[0], models)}".rstrip() if unknown else ""
            raise ValueError(
                f"traffic_allocation gives each of {models} its share; unknown: {unknown}, missing: {missing}.{hint}".rstrip(".")
            )
        odd = {name: share for name, share in self.traffic_allocation.items() if _decimal(share) % SHARE_STEP}
        if odd:
            raise ValueError(f"every share of traffic must be a multiple of {SHARE_STEP}, got {odd}")
        total = sum((_decimal(share) for share in self.traffic_allocation.values()), Decimal(0))
        if total != 1:
            raise ValueError(f"shares of traffic must sum to 1, got {total}")
        return self

    @model_validator(mode="after")
    def _metrics_agree(self) -> _Checked:
        names = [self.primary_metric, *self.secondary_metrics]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"a metric has one role, got {repeated} twice")
        if self.primary_metric in self.guardrail_metrics:
            raise ValueError(f"the primary metric {self.primary_metric!r} cannot be its own guardrail")
        known = [*names, *self.guardrail_metrics]
        for what, declared in (("directions", self.directions), ("metric_types", self.metric_types)):
            for name in declared:
                if name not in known:
                    raise ValueError(f"{what}: no metric named {name!r}; known: {known}. {did_you_mean(name, known)}".rstrip(". "))
        return self

    @model_validator(mode="after")
    def _limits_make_sense(self) -> _Checked:
        for name, bounds in self.guardrail_metrics.items():
            if any(bound is not None and math.isnan(bound) for bound in bounds):
                raise ValueError(f"guardrail {name!r}: a limit is a number or None, got nan")
            low, high = binding_limits(bounds)
            if low is None and high is None:
                raise ValueError(f"guardrail {name!r}: (min, max) must set a limit, got {bounds}")
            if low is not None and high is not None and low >= high:
                raise ValueError(f"guardrail {name!r}: min must lie below max, got {bounds}")
            wrong = {"increase": low, "decrease": high}.get(self.directions.get(name, ""), 0.0) is None
            if wrong:
                way = "a smallest" if self.directions[name] == "increase" else "a largest"
                raise ValueError(f"guardrail {name!r}: its direction is {self.directions[name]}, so {way} value is its limit, got {bounds}")
        return self

    @model_validator(mode="after")
    def _days_agree(self) -> _Checked:
        if self.min_duration_days not in {DEFAULT_MIN_DAYS, min(self.min_duration_days, self.max_duration_days)}:
            raise ValueError(
                f"min_duration_days must not exceed max_duration_days, got {self.min_duration_days} and {self.max_duration_days}"
            )
        return self


def _metrics(form: _Checked) -> list[dict[str, object]]:
    metrics = [_metric(form, form.primary_metric, "primary", default="proportion")]
    metrics += [_metric(form, name, "secondary") for name in form.secondary_metrics if name not in form.guardrail_metrics]
    for name, bounds in form.guardrail_metrics.items():
        low, high = binding_limits(bounds)
        guard = _metric(form, name, "guardrail")
        if high is not None:
            metrics.append({**guard, "direction": "decrease", "max_value": high})
        if low is not None:
            twin = {} if high is None else {"key": f"{name}_min", "column": name}
            metrics.append({**guard, **twin, "direction": "increase", "max_value": low})
    return metrics


def _metric(form: _Checked, name: str, role: str, *, default: ModelMetricType = "continuous") -> dict[str, object]:
    kind = KINDS[form.metric_types.get(name, default)]
    direction = form.directions.get(name, "increase")
    return {"key": name, "kind": kind, "role": role, "direction": direction, "missing": "drop"}


def _planned_units(form: _Checked) -> int:
    scarcest = min(_decimal(share) for share in form.traffic_allocation.values() if share > 0)
    return math.ceil(form.min_sample_size / scarcest)


def binding_limits(bounds: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
    """The limits that bind: a lower limit of 0 beside an upper one is the scale's own end."""
    low, high = (None if bound is None or math.isinf(bound) else float(bound) for bound in bounds)
    return (None if low == 0.0 and high is not None else low), high


def _decimal(share: float) -> Decimal:
    """A share as the decimal that was meant, when float noise below 1e-9 is all that is off."""
    written = Decimal(repr(share))
    nearest = round(written, 4)
    return nearest if abs(written - nearest) <= NOISE else written
