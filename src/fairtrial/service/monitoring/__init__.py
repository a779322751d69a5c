"""Reads between the results (IN-30..IN-33), and the watch over model experiments as functions (ML-19)."""

from fairtrial.service.monitoring.health import (
    load_recent_experiment_data,
    monitor_experiment_health,
    send_alert,
    stop_experiment,
)

__all__ = ["load_recent_experiment_data", "monitor_experiment_health", "send_alert", "stop_experiment"]
