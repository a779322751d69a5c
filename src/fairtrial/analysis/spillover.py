"""Do controls feel the treatment of their neighbours? From a spec, its units, and a network or clusters (IN-13)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fairtrial.analysis.interactions import Located, Progress, open_membership
from fairtrial.diagnostics.spillover import DRAWS, Spillover, find_spillover, neighbours_of_clusters, neighbours_of_edges
from fairtrial.errors import UsageError
from fairtrial.warehouse.network import read_clusters, read_edges


def analyze_spillover(
    one: Located,
    *,
    network: str | None = None,
    clusters: str | None = None,
    base: Path | None = None,
    seed: int = 1,
    alpha: float = 0.05,
    draws: int = DRAWS,
    progress: Progress | None = None,
) -> Spillover:
    """Test whether controls' primary metric follows the share of their neighbours that is treated.

    Args:
        one: The experiment; its units were assigned one by one.
        network: Address of a table with the columns `unit` and `neighbour`.
        clusters: Address of a table with the columns `unit` and `cluster` instead; neighbours are the others of a cluster.
        base: Folder that a relative address counts from.
        seed: Of the focal units and the assignments drawn.
        alpha: Error rate in (0, 1).
        draws: Assignments drawn, >= 99.
        progress: Called with a sentence as each step begins.

    Raises:
        UsageError: Not exactly one of `network` and `clusters` is given, or the primary metric is none that can be read.
        DataError: The data cannot answer.
        ConnectorError: A source cannot be reached.
    """
    if (network is None) == (clusters is None):
        raise UsageError("Neighbours come from a network or from clusters: name one of the two.", hint="--network FILE or --clusters FILE")
    with open_membership(one, progress) as member:
        if member.metric is None:
            raise UsageError(
                f"The primary metric of {one.spec.key!r} must be a plain rate, mean or count to be held against neighbours.",
                hint="Name such a metric `role: primary`.",
            )
        if progress is not None:
            progress("Joining units with their neighbours")
        found = read_edges(member, network, base) if network is not None else read_clusters(member, clusters or "", base)
    near = neighbours_of_clusters(found.links) if network is None else neighbours_of_edges(found.links, found.arm.size)
    if progress is not None:
        progress(f"Assigning the other units anew, {draws:,} times")
    control = [arm.key for arm in one.spec.arms].index(one.spec.control)
    return find_spillover(found.value, found.arm != control, near, rng=np.random.default_rng(seed), alpha=alpha, draws=draws)
