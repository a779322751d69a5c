"""The experiment spec: its parts, its loader, and the forms translated into it."""

from fairtrial.spec.access import (
    ExperimentConfigClient,
    ExperimentConfigError,
    experiment_config_warnings,
    get_experiment_config,
    get_package_version,
    list_available_experiments,
    validate_experiment_config,
)
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.loader import LoadedSpec, load_spec, load_specs, parse_spec
from fairtrial.spec.model_experiment import ExperimentConfig
from fairtrial.spec.schema import spec_schema

__all__ = [
    "ExperimentConfig",
    "ExperimentConfigClient",
    "ExperimentConfigError",
    "ExperimentSpec",
    "LoadedSpec",
    "experiment_config_warnings",
    "get_experiment_config",
    "get_package_version",
    "list_available_experiments",
    "load_spec",
    "load_specs",
    "parse_spec",
    "spec_schema",
    "validate_experiment_config",
]
