"""A proxy in front of model servers: it routes, falls back, mirrors, logs, and obeys the rollout."""

from fairtrial.gateway.app import GatewayApp

__all__ = ["GatewayApp"]
