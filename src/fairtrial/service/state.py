"""What one running service holds: settings, database, clock, and the keys it has proven."""

from __future__ import annotations

from dataclasses import dataclass

from fairtrial.service.access.keys import KeyRing
from fairtrial.service.access.limiting import Limits
from fairtrial.service.access.tokens import KeySource, TokenProver, TokenRules, keys_from_file, keys_from_url
from fairtrial.service.clock import Clock
from fairtrial.service.flags.writer import AssignmentWriter
from fairtrial.service.ingest.writer import IngestWriter
from fairtrial.service.settings import Settings
from fairtrial.service.snapshot import SnapshotHolder
from fairtrial.storage import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """Shared by all requests of one process.

    Attributes:
        settings: As the process was started.
        database: The open database.
        clock: The time; tests set it.
        keys: API keys proven lately.
        snapshot: The flags, in memory.
        assignments: Stores what flags decide.
        ingest: Writes exposures, outcomes and events.
        tokens: Proves tokens of an identity provider; None without one.
        limits: How often a caller may ask; None for no limits.
    """

    settings: Settings
    database: Database
    clock: Clock
    keys: KeyRing
    snapshot: SnapshotHolder
    assignments: AssignmentWriter
    ingest: IngestWriter
    tokens: TokenProver | None = None
    limits: Limits | None = None


def prover_of(settings: Settings) -> TokenProver | None:
    """What proves the tokens of the identity provider in the settings, if one is."""
    if settings.jwks_file is None and not settings.jwks_url:
        return None
    read = keys_from_url(settings.jwks_url) if settings.jwks_file is None else keys_from_file(settings.jwks_file)
    rules = TokenRules(issuer=settings.jwt_issuer, audience=settings.jwt_audience, role_claim=settings.jwt_role_claim)
    return TokenProver(source=KeySource(read=read), rules=rules)
