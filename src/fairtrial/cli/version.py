"""`fairtrial version`: alone in its module, so that it answers at once."""

from __future__ import annotations

from fairtrial._version import __version__
from fairtrial.cli.options import Json
from fairtrial.cli.output import out, print_json


def version(as_json: Json = False) -> int:
    """Print the version."""
    if as_json:
        print_json({"version": __version__})
    else:
        out().print(__version__, highlight=False)
    return 0
