"""Simulated experiments of every kind, to look around in: `fairtrial serve --demo`."""

from fairtrial.service.demo.fill import fill_demo

__all__ = ["fill_demo"]
