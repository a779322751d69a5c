"""An experiment of models with how it is served: the form of `ExperimentConfig` and a `serving:` block."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from fairtrial.errors import SpecError
from fairtrial.spec.loader import load_spec
from fairtrial.spec.model_experiment import ExperimentConfig, is_model_experiment
from fairtrial.spec.problems import validated
from fairtrial.spec.serving import Serving


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelExperiment:
    """What `fairtrial gateway` runs.

    Attributes:
        config: The models, their shares, metrics and guardrails.
        serving: Where the models answer and how they are watched.
        raw: The file's own mapping.
    """

    config: ExperimentConfig
    serving: Serving
    raw: Mapping[str, Any]

    @property
    def spec_hash(self) -> str:
        """SHA-256 of the mapping, in hexadecimal."""
        return hashlib.sha256(json.dumps(self.raw, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def parse_model_experiment(raw: Mapping[str, Any], *, what: str = "model experiment") -> ModelExperiment:
    """Build a served experiment from a mapping.

    Raises:
        SpecError: A rule is broken, there is no `serving`, or it does not fit the models.
    """
    if not is_model_experiment(raw):
        raise SpecError(f"The {what} must have the form of a model experiment (champion_model, challenger_models, ...), got {list(raw)}.")
    if "serving" not in raw:
        raise SpecError(f"The {what} must say how its models are served.", hint="Add `serving:` with `models:` and their addresses.")
    known = {item.name for item in fields(ExperimentConfig)}
    unknown = [name for name in raw if name not in known and name != "serving"]
    if unknown:
        raise SpecError(f"The {what} has keys that are unknown: {unknown}. Known: {sorted(known)} and serving.")
    given = {name: value for name, value in raw.items() if name != "serving"}
    missing = [item.name for item in fields(ExperimentConfig) if item.name in REQUIRED and item.name not in given]
    if missing:
        raise SpecError(f"The {what} must have {missing}.")
    config = ExperimentConfig(**_in_python(given))
    serving = validated(Serving, raw["serving"], what=f"serving of {config.name!r}")
    _check_models(config, serving)
    return ModelExperiment(config=config, serving=serving, raw=raw)


REQUIRED = (
    *("name", "champion_model", "challenger_models", "traffic_allocation", "primary_metric", "secondary_metrics"),
    *("guardrail_metrics", "min_sample_size", "max_duration_days"),
)
"""Fields of `ExperimentConfig` without a default."""


def load_model_experiment(path: str | Path, name: str | None = None) -> ModelExperiment:
    """Read a served experiment from a file; `name` chooses among several.

    Raises:
        UsageError: There is no such file.
        SpecError: A rule is broken.
    """
    loaded = load_spec(path, name)
    raw = cast("Mapping[str, Any]", loaded.raw)
    named = raw if "name" in raw or not is_model_experiment(raw) else {"name": loaded.spec.key, **raw}
    return parse_model_experiment(named, what=f"experiment {loaded.spec.key!r} in {loaded.path.name}")


def _in_python(given: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping of a file as arguments: limits are pairs."""
    limits: Any = given.get("guardrail_metrics")
    if not isinstance(limits, Mapping):
        return dict(given)
    named = cast("Mapping[str, Any]", limits)
    return {
        **given,
        "guardrail_metrics": {name: tuple(cast("list[Any]", pair)) if isinstance(pair, list) else pair for name, pair in named.items()},
    }


def _check_models(config: ExperimentConfig, serving: Serving) -> None:
    models = [config.champion_model, *config.challenger_models]
    missing = [name for name in models if name not in serving.models]
    unknown = [name for name in serving.models if name not in models]
    if missing or unknown:
        raise SpecError(f"serving.models must give each of {models} its address; missing: {missing}, unknown: {unknown}.")
    protocols = {endpoint.protocol for endpoint in serving.models.values()}
    if len(protocols) > 1:
        raise SpecError("All models of an experiment must speak one protocol, got v2 and json: one request serves each of them.")
    if serving.shadow.timeout_seconds > serving.champion_timeout_seconds:
        raise SpecError(
            f"serving.shadow.timeout_seconds must not exceed champion_timeout_seconds, got {serving.shadow.timeout_seconds:g} "
            f"and {serving.champion_timeout_seconds:g}."
        )
