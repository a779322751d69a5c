"""The metric catalog: metrics defined once, with an owner, that specs refer to by name.

A file of a catalog may hold `metric_catalog`, a mapping of name to definition: the
settings of a metric but its role, with `owner`, `certified` and, where one metric builds
on another, `extends`. A spec says `use: name` in place of a metric's definition and adds
what belongs to the experiment: the role, the margin, the covariate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import cast

from fairtrial.errors import Problem, SpecError, did_you_mean
from fairtrial.spec.base import SpecModel
from fairtrial.spec.metric import MetricSpec
from fairtrial.spec.problems import shortened, spec_error, validated

USE = "use"
"""The key by which a spec refers to a metric of the catalog."""

ABOUT = ("owner", "certified", "extends")
"""What a definition says beside the settings of a metric."""

BY_EXPERIMENT = ("role", "weight", "margin", "margin_kind", "max_value")
"""Settings that each experiment has its own of."""

MAY_ADD = (*BY_EXPERIMENT, "covariate", "covariate_denominator", "test")
"""Settings that a reference may carry; what is measured is the catalog's."""

IN_SECTIONS = {"key": "name", "kind": "type", "description": "definition"}
"""What the settings of a metric are called in the catalog form of an experiment."""

MAY_NOT_ADD_IN_SECTIONS = (
    "name",
    "type",
    "definition",
    "numerator",
    "denominator",
    "direction",
    "expected_direction",
    "target_direction",
)
"""What a metric of the catalog form says that is the metric catalog's."""

Definition = Mapping[str, object]


class CatalogMetric(SpecModel):
    """One metric of the catalog, what it builds on filled in."""

    metric: MetricSpec
    """What is measured and how."""
    owner: str = ""
    """Who answers for it."""
    certified: bool = False
    """Whether its owner vouches for it; decisions are best made on certified metrics."""


@dataclass(frozen=True)
class MetricCatalog:
    """Metrics by name, as the files of a catalog define them.

    Attributes:
        definitions: As they were written.
        homes: The file of each.
    """

    definitions: Mapping[str, Definition] = field(default_factory=dict[str, "Definition"])
    homes: Mapping[str, Path] = field(default_factory=dict[str, "Path"])

    def metric(self, name: str) -> CatalogMetric:
        """A metric with all that it builds on.

        Raises:
            SpecError: There is none of that name, it builds on itself, or it breaks a rule.
        """
        found = self._read.get(name)
        if found is None:
            found = self._read[name] = self._checked(name)
        return found

    @cached_property
    def _read(self) -> dict[str, CatalogMetric]:
        return {}

    def _checked(self, name: str) -> CatalogMetric:
        what = f"metric {shortened(name)} of the metric catalog"
        fields = self._filled(name)
        own = [setting for setting in (*BY_EXPERIMENT, USE) if setting in fields]
        if own:
            problem = f"{own[0]} belongs to the experiment that uses the metric, not to its definition: leave it out."
            raise spec_error(what, [Problem(problem, (own[0],))])
        about = {key: value for key, value in fields.items() if key in ABOUT and key != "extends"}
        settings = {key: value for key, value in fields.items() if key not in ABOUT}
        if "kind" not in settings:
            kinds = "proportion, mean, count, ratio or quantile"
            raise spec_error(what, [Problem(f"kind is required: {kinds}. Such as kind: mean.", ())])
        try:
            return validated(CatalogMetric, {**about, "metric": {"key": name, **settings}}, what=what)
        except SpecError as error:
            problems = [
                Problem(p.text.replace("metric.", "", 1), p.path[1:] if p.path[:1] == ("metric",) else p.path) for p in error.problems
            ]
            raise spec_error(what, problems) from error

    def _filled(self, name: str) -> dict[str, object]:
        """The definition of a metric over those that it extends."""
        chain = [name]
        fields = dict(self._definition(name, by=""))
        while (parent := fields.pop("extends", None)) is not None:
            if str(parent) in chain:
                circle = " -> ".join([*chain, str(parent)])
                problem = Problem(f"a metric must not build on itself: {circle}. Take `extends` out of one of them.", ("extends",))
                raise spec_error(f"metric {shortened(name)} of the metric catalog", [problem])
            below = self._definition(str(parent), by=chain[-1])
            fields = {**{key: value for key, value in below.items() if key not in {"owner", "certified"}}, **fields}
            chain.append(str(parent))
        return fields

    def _definition(self, name: str, *, by: str) -> Definition:
        if name not in self.definitions:
            known = list(self.definitions)
            asks = f", which metric {by!r} extends" if by else ""
            hint = did_you_mean(name, known) or (
                "Define it under metric_catalog." if known else "Define metrics under metric_catalog, by name."
            )
            raise SpecError(f"No metric {name!r} in the metric catalog{asks}. Known: {known}.", hint=hint, code="unknown_metric")
        return self.definitions[name]

    def resolved(self, entry: Mapping[str, object], *, what: str) -> Mapping[str, object]:
        """An experiment with the definitions of the metrics that it uses in place of their names.

        Raises:
            SpecError: A metric that it uses is not there, breaks a rule, or is redefined.
        """
        metrics = entry.get("metrics")
        problems: list[Problem] = []
        if isinstance(metrics, list):
            filled: object = [self._normal(item, ("metrics", i), problems) for i, item in enumerate(cast("list[object]", metrics))]
        elif isinstance(metrics, Mapping):
            filled = self._in_sections(cast("Mapping[str, object]", metrics), problems)
        else:
            return entry
        if problems:
            raise spec_error(what, problems)
        return {**entry, "metrics": filled}

    def _normal(self, item: object, at: tuple[str | int, ...], problems: list[Problem]) -> object:
        if not isinstance(item, Mapping) or USE not in item:
            return cast("object", item)
        own = {key: value for key, value in cast("Mapping[str, object]", item).items() if key != USE}
        name = str(cast("Mapping[str, object]", item)[USE])
        fields = self._use(name, at, problems)
        problems.extend(_redefined(name, key, at, MAY_ADD) for key in own if key not in MAY_ADD)
        return {**fields, **own}

    def _in_sections(self, metrics: Mapping[str, object], problems: list[Problem]) -> Mapping[str, object]:
        filled: dict[str, object] = {}
        for section, value in metrics.items():
            at = ("metrics", section)
            if isinstance(value, list):
                items = enumerate(cast("list[object]", value))
                filled[section] = [self._section(item, section, (*at, i), problems) for i, item in items]
            else:
                filled[section] = self._section(value, section, at, problems)
        return filled

    def _section(self, item: object, section: str, at: tuple[str | int, ...], problems: list[Problem]) -> object:
        """A metric of the catalog form, whose settings have other names."""
        if not isinstance(item, Mapping) or USE not in item:
            return cast("object", item)
        own = {key: value for key, value in cast("Mapping[str, object]", item).items() if key != USE}
        name = str(cast("Mapping[str, object]", item)[USE])
        fields = {IN_SECTIONS.get(key, key): value for key, value in self._use(name, at, problems).items()}
        direction = fields.pop("direction", "increase")
        if section == "primary":
            fields["direction"] = direction
        elif section == "secondary":
            fields["expected_direction"] = direction
        fields["definition"] = fields.get("definition") or name
        unsaid = [key for key in fields if key not in MAY_NOT_ADD_IN_SECTIONS]
        if unsaid:
            text = f"metric {name!r} sets {unsaid}, which the catalog form cannot say: write the experiment in normal form."
            problems.append(Problem(text, (*at, USE)))
        problems.extend(_redefined(name, key, at, ()) for key in own if key in MAY_NOT_ADD_IN_SECTIONS)
        return {**fields, **own}

    def _use(self, name: str, at: tuple[str | int, ...], problems: list[Problem]) -> dict[str, object]:
        try:
            metric = self.metric(name).metric
        except SpecError as error:
            problems.append(Problem(f"{error.message} {error.hint}".strip(), (*at, USE)))
            return {}
        return metric.model_dump(mode="json", exclude_unset=True)


def uses_of(entry: Mapping[str, object]) -> Sequence[str]:
    """Names of the catalog's metrics that an experiment uses, as it is written."""
    return list(dict.fromkeys(_uses(entry.get("metrics"))))


def _uses(metrics: object) -> Iterator[str]:
    if isinstance(metrics, list):
        for item in cast("list[object]", metrics):
            if isinstance(item, Mapping) and USE in item:
                yield str(cast("Mapping[str, object]", item)[USE])
    elif isinstance(metrics, Mapping):
        for value in cast("Mapping[str, object]", metrics).values():
            yield from _uses(cast("object", value) if isinstance(value, list) else [value])


def _redefined(name: str, key: str, at: tuple[str | int, ...], allowed: Sequence[str]) -> Problem:
    may = f" may carry {list(allowed)}" if allowed else " adds what belongs to the experiment"
    text = f"{key} of metric {name!r} is the metric catalog's; a reference{may}. For another metric define one that extends it."
    return Problem(text, (*at, key))
