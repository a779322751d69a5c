"""The REST service: one ASGI process over one database."""

from fairtrial.service.app import create_app
from fairtrial.service.settings import Settings

__all__ = ["Settings", "create_app"]
