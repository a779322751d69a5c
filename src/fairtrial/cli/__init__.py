"""The command line: `fairtrial <verb>`."""

from fairtrial.cli.app import main

__all__ = ["main"]
