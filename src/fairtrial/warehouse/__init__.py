"""Where the data is: one query in its engine, arm statistics out."""

from fairtrial.warehouse.read import distinct_arms, read, read_frame
from fairtrial.warehouse.sources import Source, open_source

__all__ = ["Source", "distinct_arms", "open_source", "read", "read_frame"]
