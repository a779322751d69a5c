"""Bandits: arms whose shares follow their rewards, and the limits within which they may.

A form of its own (`kind: bandit`), read by the same loader: a bandit has no alpha, power, looks or
planned shares, and its allocation changes while it runs, which every other kind forbids.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast

from pydantic import Field, model_validator

from fairtrial.errors import did_you_mean
from fairtrial.spec.base import ExperimentKey, Name, SpecModel
from fairtrial.spec.loader import read_mapping
from fairtrial.spec.problems import validated

PolicyName = Literal["thompson", "top_two", "ucb", "epsilon_greedy", "linucb", "linear_thompson"]
CONTEXTUAL: Final = ("linucb", "linear_thompson")
"""Policies that look at the unit's context."""

MOST_ARMS = 64
MOST_FEATURES = 50
PRESETS: Mapping[str, Mapping[str, float]] = {
    "safe": {"min_weight": 0.1, "max_step": 0.1, "min_trials": 200, "fixed_share": 0.1},
    "neutral": {"min_weight": 0.05, "max_step": 0.2, "min_trials": 100, "fixed_share": 0.0},
    "explore": {"min_weight": 0.02, "max_step": 0.5, "min_trials": 20, "fixed_share": 0.0},
}
"""What each preset says where the spec is silent; `min_weight` is at most half an even share."""

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
OWN_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "thompson": (),
    "top_two": ("beta",),
    "ucb": (),
    "epsilon_greedy": ("epsilon",),
    "linucb": ("alpha", "ridge"),
    "linear_thompson": ("noise_variance", "ridge"),
}


class BanditReward(SpecModel):
    """What an arm earns."""

    kind: Literal["proportion", "mean"] = "proportion"
    """`proportion`: 0 or 1; `mean`: any number."""
    direction: Literal["increase", "decrease"] = "increase"
    """Which way is better."""
    low: float | None = None
    """Smallest possible reward of kind `mean`; rewards below it are refused. The policy `ucb` needs both bounds."""
    high: float | None = None
    """Largest possible reward of kind `mean`."""
    zero_after_hours: Positive | None = None
    """A decision without a reward counts as 0 this long after it was made, and younger ones do not count yet, so that quick successes
    are not taken for a high rate. Default: only decisions whose reward was sent count."""

    @model_validator(mode="after")
    def _bounds_agree(self) -> BanditReward:
        if self.kind == "proportion" and (self.low is not None or self.high is not None):
            raise ValueError("a proportion lies in [0, 1]; low and high are for kind mean")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low must lie below high, got {self.low:g} and {self.high:g}")
        if self.zero_after_hours is not None and not self.bounds[0] <= 0.0 <= self.bounds[1]:
            raise ValueError("zero_after_hours counts a missing reward as 0, which lies outside low and high")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest reward allowed."""
        if self.kind == "proportion":
            return 0.0, 1.0
        return -float("inf") if self.low is None else self.low, float("inf") if self.high is None else self.high


class BanditPolicy(SpecModel):
    """What chooses the shares."""

    name: PolicyName = "thompson"
    """`thompson`: probability to be best; `top_two`: the leader and its best rival; `ucb`: the largest optimistic index;
    `epsilon_greedy`: the best so far; `linucb` and `linear_thompson`: by a linear model of the unit's context."""
    epsilon: Fraction | None = None
    """Share of even exploration of `epsilon_greedy`; default 0.1."""
    beta: Annotated[float, Field(gt=0, le=1)] | None = None
    """Probability to play the leader in `top_two`; default 0.5."""
    alpha: Annotated[float, Field(ge=0)] | None = None
    """Width of the optimism of `linucb`, in standard errors of a reward of variance 1; default 1."""
    ridge: Positive | None = None
    """Weight of the prior of the linear policies, in observations; default 1."""
    noise_variance: Positive | None = None
    """Variance of a reward given its context, for `linear_thompson`; default: 0.25 for proportions, else the pooled one within arms."""

    @model_validator(mode="after")
    def _own_options(self) -> BanditPolicy:
        given = [name for name in ("epsilon", "beta", "alpha", "ridge", "noise_variance") if getattr(self, name) is not None]
        foreign = [name for name in given if name not in OWN_OPTIONS[self.name]]
        if foreign:
            raise ValueError(f"the policy {self.name!r} takes {list(OWN_OPTIONS[self.name]) or 'no options'}, got {foreign}")
        return self

    @property
    def contextual(self) -> bool:
        """Whether it looks at the unit's context."""
        return self.name in CONTEXTUAL

    @property
    def options(self) -> dict[str, float]:
        """Options that were given."""
        return {name: getattr(self, name) for name in OWN_OPTIONS[self.name] if getattr(self, name) is not None}


class BanditFeature(SpecModel):
    """A number of the context, brought to [0, 1] by its bounds."""

    low: float
    """Smallest value; a smaller one is refused."""
    high: float
    """Largest value; a larger one is refused."""

    @model_validator(mode="after")
    def _ordered(self) -> BanditFeature:
        if self.low >= self.high:
            raise ValueError(f"low must lie below high, got {self.low:g} and {self.high:g}")
        return self


class BanditPeriod(SpecModel):
    """How often shares change: a whole number of hours or of days."""

    hours: Annotated[int, Field(ge=1, le=24 * 366)] | None = None
    """Length in hours."""
    days: Annotated[int, Field(ge=1, le=366)] | None = None
    """Length in days."""

    @model_validator(mode="after")
    def _one(self) -> BanditPeriod:
        if (self.hours is None) == (self.days is None):
            raise ValueError("a period is of hours or of days: give one of the two")
        return self

    @property
    def seconds(self) -> float:
        """Its length."""
        return 3_600.0 * (self.hours or 0) + 86_400.0 * (self.days or 0)


class BanditConstraint(SpecModel):
    """A limit on a metric that is sent with the rewards; an arm beyond it loses its traffic at once. The control is never taken out."""

    metric: Name
    """Name of the metric, as in `metrics` of a reward."""
    max_value: float | None = None
    """Largest mean allowed."""
    min_value: float | None = None
    """Smallest mean allowed."""
    then: Literal["floor", "out"] = "floor"
    """`floor`: the arm keeps `min_weight`, and comes back when it is within the limit again; `out`: it gets nothing any more."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.9
    """It acts when the one-sided normal bound of the arm's mean at this confidence is beyond the limit; 0.5 is the mean itself."""
    min_trials: Annotated[int, Field(ge=2)] = 50
    """Values of the metric that an arm needs before it can act."""

    @model_validator(mode="after")
    def _one_limit(self) -> BanditConstraint:
        if (self.max_value is None) == (self.min_value is None):
            raise ValueError(f"the constraint on {self.metric!r} needs max_value or min_value, one of the two")
        return self


class BanditDrift(SpecModel):
    """How old rewards fade, by period."""

    discount: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Weight of rewards of one period ago; of two periods ago its square, and so on. 1: nothing fades."""
    window: Annotated[int, Field(ge=1)] | None = None
    """Only rewards of decisions made in this many latest periods count; default: all."""


class BanditStop(SpecModel):
    """When the bandit ends by itself: all rules that are given must hold."""

    probability: Annotated[float, Field(gt=0.5, lt=1)] | None = None
    """Least posterior probability of one arm to be the best."""
    expected_loss: Positive | None = None
    """Largest expected loss of choosing that arm, in the reward's unit."""
    min_periods: Annotated[int, Field(ge=1)] = 1
    """Periods that must have ended before."""

    @model_validator(mode="after")
    def _some(self) -> BanditStop:
        if self.probability is None and self.expected_loss is None:
            raise ValueError("a stop rule needs probability or expected_loss")
        return self


class BanditSpec(SpecModel):
    """A bandit: arms, what they earn, what moves their shares, and within which limits."""

    kind: Literal["bandit"]
    """This kind."""
    key: ExperimentKey
    """Name of the bandit, unique among yours."""
    description: str = ""
    """What a reader should know."""
    arms: Annotated[tuple[Name, ...], Field(min_length=2, max_length=MOST_ARMS)]
    """Names of the arms."""
    control: Name = ""
    """The arm that others are compared with and that guardrails never take out; default: the first."""
    reward: BanditReward = BanditReward()
    """What an arm earns."""
    policy: BanditPolicy = BanditPolicy()
    """What chooses the shares."""
    context: dict[Name, BanditFeature] = Field(default_factory=dict[str, BanditFeature], max_length=MOST_FEATURES)
    """Numbers that come with each decision, by name; for contextual policies."""
    period: BanditPeriod = BanditPeriod(days=1)
    """How often shares change; a unit keeps its arm within a period."""
    preset: Literal["safe", "neutral", "explore"] = "neutral"
    """What stands for the next four fields where they are not given: `safe` moves late and slowly, `explore` early and far."""
    min_weight: Fraction | None = None
    """Smallest share of an arm of the adaptive part, at most an even share."""
    max_step: Annotated[float, Field(gt=0, le=1)] | None = None
    """Most that an arm's share may change at an update; for contextual policies, most that the share of decisions ruled by the
    model may grow."""
    min_trials: Annotated[int, Field(ge=0)] | None = None
    """Shares stay as they are until every arm in play has this many rewards."""
    fixed_share: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of decisions that is split evenly for ever, whatever is learnt: plain comparisons hold there."""
    constraints: tuple[BanditConstraint, ...] = ()
    """Guardrails."""
    drift: BanditDrift = BanditDrift()
    """How old rewards fade."""
    stop: BanditStop | None = None
    """When it ends by itself; default: when a person says so."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Of the draws: another seed gives other units to other arms."""

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, raw: object) -> object:
        if not isinstance(raw, Mapping):
            return raw
        fields = dict(cast("Mapping[str, Any]", raw))
        arms = fields.get("arms")
        if "control" not in fields and isinstance(arms, list | tuple) and arms:
            fields["control"] = cast("list[Any]", arms)[0]
        if isinstance(fields.get("policy"), str):
            fields["policy"] = {"name": fields["policy"]}
        return fields

    @model_validator(mode="after")
    def _agrees(self) -> BanditSpec:
        if len(set(self.arms)) < len(self.arms):
            raise ValueError(f"arms must differ from each other, got {list(self.arms)}")
        if self.control not in self.arms:
            raise ValueError(
                f"the control must be one of the arms {list(self.arms)}, got {self.control!r}. {did_you_mean(self.control, self.arms)}"
            )
        if self.min_weight is not None and self.min_weight > 1.0 / len(self.arms):
            raise ValueError(f"min_weight of {len(self.arms)} arms is at most {1.0 / len(self.arms):g}, got {self.min_weight:g}")
        if self.policy.contextual != bool(self.context):
            raise ValueError(
                "context is for the policies linucb and linear_thompson, which need one feature at least; "
                f"got {list(self.context) or 'none'} with {self.policy.name!r}"
            )
        if self.policy.name == "ucb" and not all(abs(bound) < float("inf") for bound in self.reward.bounds):
            raise ValueError("the policy ucb needs bounded rewards: give reward.low and reward.high")
        if self.policy.contextual and self.stop is not None:
            raise ValueError("a stop rule is about one best arm, which a contextual policy does not look for")
        return self

    @property
    def floor(self) -> float:
        """Smallest share of an arm of the adaptive part."""
        return min(PRESETS[self.preset]["min_weight"], 0.5 / len(self.arms)) if self.min_weight is None else self.min_weight

    @property
    def step(self) -> float:
        """Most that a share may change at an update."""
        return PRESETS[self.preset]["max_step"] if self.max_step is None else self.max_step

    @property
    def trials(self) -> int:
        """Rewards of every arm before shares may move."""
        return int(PRESETS[self.preset]["min_trials"]) if self.min_trials is None else self.min_trials

    @property
    def slice(self) -> float:
        """Share of decisions that is split evenly for ever."""
        return PRESETS[self.preset]["fixed_share"] if self.fixed_share is None else self.fixed_share

    @property
    def spec_hash(self) -> str:
        """SHA-256 of what was said, in hexadecimal."""
        said = self.model_dump(mode="json", exclude_defaults=True)
        return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def parse_bandit(raw: object, *, what: str = "bandit spec") -> BanditSpec:
    """Build a bandit from a mapping.

    Raises:
        SpecError: A rule is broken.
    """
    return validated(BanditSpec, raw, what=what)


def load_bandit(path: str | Path) -> BanditSpec:
    """Read a bandit from a YAML or JSON file.

    Raises:
        SpecError: There is no such file, or a rule is broken.
    """
    file = Path(path)
    return parse_bandit(read_mapping(file), what=f"bandit spec in {file.name}")
