"""One experiment of any kind: the one form that everything else is translated into."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from typing import Annotated, Literal, cast

from pydantic import Field, model_validator

from fairtrial.errors import UnknownNameError, did_you_mean
from fairtrial.spec.assignment import AssignmentSpec
from fairtrial.spec.base import ExperimentKey, Name, SpecModel
from fairtrial.spec.business import BusinessSpec, check_business
from fairtrial.spec.changes import Change
from fairtrial.spec.combinations import check_combinations
from fairtrial.spec.data import AggregatesData, DataSpec, LogsData, UnitsData
from fairtrial.spec.eligibility import EligibilitySpec
from fairtrial.spec.factorial import (
    DEFAULT_ORDER,
    FACTORIAL,
    check_factorial_plan,
    check_factors,
    check_no_factors,
    factorial_short_forms,
)
from fairtrial.spec.feasibility import FeasibilitySpec, check_feasibility
from fairtrial.spec.interference import InterferenceSpec
from fairtrial.spec.metric import EventValue, MetricSpec, covariates_of
from fairtrial.spec.plan import PlanSpec, ScheduleSpec, VariantSpec
from fairtrial.spec.quasi import QuasiDesign, check_quasi, quasi_short_forms
from fairtrial.spec.segments import SegmentsSpec, check_segments
from fairtrial.spec.sequences import check_sequences
from fairtrial.spec.weights import check_weights

SHARE_TOLERANCE = 1e-6
DESIGN_FREE = {
    "status",
    "name",
    "description",
    "owner",
    "prerequisites",
    "change_log",
    "feasibility",
    "business",
    "surface",
    "exclusion_group",
    "interference",
}
"""Fields that say nothing of the design and stay out of the spec hash."""


class ExperimentSpec(SpecModel):
    """An experiment: its arms, metrics, plan and data.

    A short spec needs `key`, `arms`, `metrics` and `plan`; arms may be a mapping of
    name to share, and the arm named `control` is the control unless said otherwise.
    """

    schema_version: Literal[1] = 1
    key: ExperimentKey
    kind: Literal["ab_test", "holdout", "factorial", "did", "rdd", "synthetic_control", "iv", "interrupted_series"] = "ab_test"
    """`holdout`: the treatment is the campaign, the control is held out; incremental outcomes are reported. `factorial`:
    the arms are all combinations of `factors`; main effects and interactions are reported. `did` to
    `interrupted_series` are quasi-experiments: nobody was randomised, and `design` says how the effect is found."""
    name: str = ""
    description: str = ""
    hypothesis: str = ""
    owner: str = ""
    version: Annotated[str, Field(pattern=r"^\d{1,9}\.\d{1,9}\.\d{1,9}$")] = "1.0.0"
    """Version of this design, MAJOR.MINOR.PATCH; `fairtrial bump` moves it."""
    status: Literal["draft", "running", "stopped", "completed", "decided", "archived"] | None = None
    prerequisites: tuple[ExperimentKey, ...] = ()
    """Experiments of the same catalog that must be decided before this one starts."""
    change_log: tuple[Change, ...] = ()
    """What each version changed, oldest first."""
    arms: tuple[VariantSpec, ...] = Field(min_length=2)
    """The variants; the control and one treatment at least."""
    control: Name = "control"
    """Key of the control arm."""
    factors: dict[Name, tuple[Name, ...]] = Field(default_factory=dict[str, tuple[str, ...]])
    """Of a factorial experiment: two levels of each factor, the one that is there today first. The arms are then all
    combinations, named as `green+discount`; the control is the one of all first levels."""
    interactions: Annotated[int, Field(ge=1, le=6)] = DEFAULT_ORDER
    """Of a factorial experiment: effects of at most so many factors together are estimated; 1 is main effects alone."""
    allocation: Literal["fixed", "adaptive", "unknown"] = "fixed"
    """`adaptive` shares move by design, `unknown` shares were not recorded: neither can be checked for a mismatch."""
    eligibility: EligibilitySpec | None = None
    """Which units the experiment takes, by their attributes; left out, all."""
    assignment: AssignmentSpec | None = None
    """How units are given their arms; left out, each by its hash."""
    metrics: tuple[MetricSpec, ...] = Field(min_length=1)
    plan: PlanSpec = PlanSpec()
    schedule: ScheduleSpec | None = None
    feasibility: FeasibilitySpec | None = None
    """Traffic, history and calendar, from which `fairtrial power` says whether it can be run; no part of the design."""
    business: BusinessSpec | None = None
    """What the primary metric's effect is worth, from which a result is told in money; no part of the design."""
    data: DataSpec | None = None
    design: QuasiDesign | None = None
    """Of a quasi-experiment: which columns say who was treated and when."""
    surface: Name | None = None
    """What part of the product it changes, as `checkout`; two experiments on one surface are the first to keep apart."""
    exclusion_group: Name | None = None
    """Name of the group whose experiments share no units; pairs in one group are not tested for interaction."""
    interference: InterferenceSpec = InterferenceSpec()
    """What is known of units that affect each other; shown with every check of the pair, no part of the design."""
    segments: SegmentsSpec | None = None
    """Columns by which effects are read beside the whole, and the rules for it; a list of columns is short for it."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, raw: object) -> object:
        if not isinstance(raw, dict):
            return raw
        fields = quasi_short_forms(dict(cast("dict[str, object]", raw)))
        arms = fields.get("arms")
        if isinstance(arms, dict):
            fields["arms"] = [{"key": key, "allocation": share} for key, share in cast("dict[str, object]", arms).items()]
        elif isinstance(arms, list | tuple):
            fields["arms"] = [{"key": arm} if isinstance(arm, str) else arm for arm in cast("list[object]", arms)]
        data = fields.get("data")
        if isinstance(data, dict) and "shape" not in data:
            fields["data"] = {"shape": "logs" if "assignments" in data else "units", **cast("dict[str, object]", data)}
        metrics = fields.get("metrics")
        if isinstance(metrics, list | tuple) and len(cast("list[object]", metrics)) == 1:
            only = cast("list[object]", metrics)[0]
            if isinstance(only, dict) and "role" not in only:
                fields["metrics"] = [{**cast("dict[str, object]", only), "role": "primary"}]
        return factorial_short_forms(fields)

    @model_validator(mode="after")
    def _arms_agree(self) -> ExperimentSpec:
        keys = [arm.key for arm in self.arms]
        _no_repeats("arm", keys)
        if self.control not in keys:
            raise ValueError(f"no control: no arm is named {self.control!r}; set `control` to one of {keys}")
        shares = [arm.allocation for arm in self.arms if arm.allocation is not None]
        if shares and len(shares) != len(keys):
            raise ValueError("allocation must be given for every arm or for none")
        if shares and self.allocation != "fixed":
            raise ValueError(f"allocation is {self.allocation!r}, so the arms carry no shares; leave them out")
        if shares and abs(math.fsum(shares) - 1.0) > SHARE_TOLERANCE:
            raise ValueError(f"allocations must sum to 1, got {math.fsum(shares):g}; leave them out for equal shares")
        return self

    @model_validator(mode="after")
    def _metrics_agree(self) -> ExperimentSpec:
        _no_repeats("metric", [metric.key for metric in self.metrics])
        primaries = [metric.key for metric in self.metrics if metric.role == "primary"]
        if len(primaries) > 1:
            raise ValueError(f"one metric carries the decision: at most one is primary, got {primaries}; make the others secondary")
        if not primaries:
            raise ValueError("no primary metric: give one metric `role: primary`")
        if self.plan.objective == "non_inferiority" and self.primary.margin is None:
            raise ValueError(f"objective non_inferiority needs a margin on the primary metric '{self.primary.key}'")
        if self.plan.objective == "non_inferiority" and self.primary.margin_kind != "absolute":
            raise ValueError(
                f"objective non_inferiority reads the margin of '{self.primary.key}' in the metric's unit: margin_kind must be absolute"
            )
        return self

    @model_validator(mode="after")
    def _data_fits(self) -> ExperimentSpec:
        data = self.data
        for metric in self.metrics:
            sources = metric_sources(metric)
            events = {role: source for role, source in sources.items() if isinstance(source, EventValue)}
            if isinstance(data, UnitsData | AggregatesData) and events:
                raise ValueError(f"metric '{metric.key}': facts need data of shape 'logs', this is '{data.shape}'")
            if isinstance(data, LogsData):
                _facts_known(metric, events, data)
            covariates = [source for part, source in sources.items() if part.startswith("covariate")]
            if isinstance(data, UnitsData) and (late := [name for name in covariates if name in data.post_assignment]):
                raise ValueError(
                    f"metric '{metric.key}': covariate {late} is measured after assignment; adjusting for it biases the effect"
                )
            if isinstance(data, AggregatesData) and covariates:
                raise ValueError(f"metric '{metric.key}': ready aggregates carry no covariate; leave it out")
        return self

    @model_validator(mode="after")
    def _methods_agree(self) -> ExperimentSpec:
        check_combinations(self.metrics, self.plan, self.data, arms=len(self.arms))
        check_sequences(self.metrics, self.plan, self.data, treatments=len(self.arms) - 1, allocation=self.allocation)
        return self

    @model_validator(mode="after")
    def _design_fits(self) -> ExperimentSpec:
        check_quasi(self.kind, self.design, self.data, self.plan, self.metrics, len(self.arms))
        check_weights(self.plan, self.metrics, self.arms, self.control)
        if self.kind == FACTORIAL:
            check_factors(self.factors, self.interactions, self.arms, self.control)
            check_factorial_plan(self.plan, self.metrics, self.data, self.factors)
        else:
            check_no_factors(self.kind, factors=bool(self.factors), order=self.interactions, arms=self.arms, data=self.data)
        check_segments(self.segments, self.data, self.metrics, quasi=self.design is not None)
        facts = self.data.facts if isinstance(self.data, LogsData) else {}
        keys = [metric.key for metric in self.metrics]
        check_feasibility(self.feasibility, keys, list(facts))
        check_business(self.business, keys, randomised=self.design is None)
        return self

    @property
    def primary(self) -> MetricSpec:
        """The metric that carries the decision."""
        return next(metric for metric in self.metrics if metric.role == "primary")

    @property
    def treatments(self) -> tuple[str, ...]:
        """Keys of the arms other than the control, in declared order."""
        return tuple(arm.key for arm in self.arms if arm.key != self.control)

    @property
    def paired(self) -> bool:
        """Whether units come in pairs, one in each arm."""
        return isinstance(self.data, UnitsData) and self.data.pair is not None

    @property
    def shares(self) -> dict[str, float] | None:
        """Planned share of each arm, summing to 1; None when they are not known or not fixed."""
        if self.allocation != "fixed":
            return None
        equal = 1.0 / len(self.arms)
        raw = {arm.key: equal if arm.allocation is None else arm.allocation for arm in self.arms}
        total = math.fsum(raw.values())
        return {key: share / total for key, share in raw.items()}

    def metric(self, key: str) -> MetricSpec:
        """The metric named `key`.

        Raises:
            UnknownNameError: There is none.
        """
        for metric in self.metrics:
            if metric.key == key:
                return metric
        raise UnknownNameError.among("metric", key, [metric.key for metric in self.metrics])

    @property
    def spec_hash(self) -> str:
        """SHA-256 of the design in canonical JSON, defaults left out: equal designs have equal hashes, said or unsaid."""
        design = self.model_dump(mode="json", exclude=DESIGN_FREE, exclude_defaults=True)
        text = json.dumps(design, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def metric_sources(metric: MetricSpec) -> dict[str, str | EventValue]:
    """Where each number of a metric comes from, by its part.

    Returns:
        `outcome` or `numerator` and `denominator`, then `covariate` (`covariate_2`, ...) and
        `covariate_denominator` where declared; a default column is filled in.
    """
    parts: dict[str, str | EventValue | None]
    if metric.kind == "ratio":
        parts = {"numerator": metric.numerator, "denominator": metric.denominator}
    else:
        parts = {"outcome": metric.column or metric.key}
    parts |= {f"covariate_{i}" if i > 1 else "covariate": source for i, source in enumerate(covariates_of(metric), start=1)}
    if metric.kind == "ratio":
        parts["covariate_denominator"] = metric.covariate_denominator
    return {part: source for part, source in parts.items() if source is not None}


def _no_repeats(what: str, keys: list[str]) -> None:
    repeated = sorted(key for key, count in Counter(keys).items() if count > 1)
    if repeated:
        raise ValueError(f"{what} names must be unique, got {repeated} twice")


def _facts_known(metric: MetricSpec, events: dict[str, EventValue], data: LogsData) -> None:
    for part, event in events.items():
        if event.fact not in data.facts:
            known = f"known: {list(data.facts)}. {did_you_mean(event.fact, data.facts)}".rstrip(". ")
            raise ValueError(f"metric '{metric.key}': no fact named {event.fact!r} in data.facts, {known}")
        if event.before_days is not None and not part.startswith("covariate"):
            raise ValueError(f"metric '{metric.key}': before_days is for covariates, not for the {part}")
