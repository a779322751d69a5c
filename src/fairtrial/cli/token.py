"""`fairtrial token`: make, list and revoke API keys, straight in the database."""

from __future__ import annotations

import datetime as dt
import getpass
from typing import Annotated, Literal

import typer
from sqlalchemy import select

from fairtrial.cli.database import DatabaseUrl, the_database
from fairtrial.cli.options import Json
from fairtrial.cli.output import out, print_json, talk
from fairtrial.errors import UnknownNameError, UsageError
from fairtrial.service.access.keys import KeyRequest, create_key
from fairtrial.service.access.roles import Actor, Role
from fairtrial.service.audit import record_change
from fairtrial.service.clock import utc_now
from fairtrial.storage import Database, upgrade
from fairtrial.storage.tables import ApiKey


def token(
    action: Annotated[Literal["create", "list", "revoke"], typer.Argument(help="What to do.")],
    public_id: Annotated[str | None, typer.Argument(help="Of the key to revoke, as `list` shows it.", show_default=False)] = None,
    role: Annotated[str, typer.Option(help="VIEWER, ANALYST, DEVELOPER or ADMIN.")] = "VIEWER",
    name: Annotated[str, typer.Option(help="What people call the key.")] = "",
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="Days until it expires. [default: never]", show_default=False)] = None,
    client: Annotated[bool, typer.Option("--client", help="For a browser: reads flags alone; VIEWER.")] = False,
    origin: Annotated[list[str] | None, typer.Option(help="Web origin from which a client key may call; may be repeated.")] = None,
    environment: Annotated[str, typer.Option(help="Environment whose flags a client key reads.")] = "production",
    database: DatabaseUrl = None,
    as_json: Json = False,
) -> int:
    """Make, list or revoke API keys. A new key is printed once, on stdout, and kept nowhere."""
    with the_database(database) as opened:
        upgrade(opened)
        if action == "list":
            return _list(opened, as_json=as_json)
        if action == "revoke":
            return _revoke(opened, public_id, as_json=as_json)
        now = utc_now()
        asked = KeyRequest(
            role=Role.named(role),
            name=name or f"{role.lower()} key",
            expires_at=None if days is None else now + dt.timedelta(days=days),
            kind="client" if client else "server",
            origins=origin or (),
            environment=environment,
        )
        with opened.writing() as session:
            made = create_key(session, asked, now=now, by=me().name)
            record_change(session, actor=me(), now=now, action="key.create", on=("api_key", made.row.public_id), after=_shown(made.row))
    if as_json:
        print_json({**_shown(made.row), "token": made.token})
    else:
        talk().print(f"A key for {made.row.role}, shown this once:", highlight=False)
        typer.echo(made.token)
    return 0


def me() -> Actor:
    """Whoever runs the program, as the audit log writes it; the shell may do everything."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "unknown"
    return Actor(name=f"shell:{user}", role=Role.ADMIN)


def _list(database: Database, *, as_json: bool) -> int:
    with database.reading() as session:
        rows = session.scalars(select(ApiKey).order_by(ApiKey.id)).all()
    if as_json:
        print_json({"keys": [_shown(row) for row in rows]})
        return 0
    for row in rows:
        state = "revoked" if row.revoked_at else f"expires {row.expires_at:%Y-%m-%d}" if row.expires_at else "in force"
        out().print(f"{row.public_id}  {row.role:<9} {row.kind:<6} {state:<18} {row.name}", highlight=False, markup=False)
    return 0


def _revoke(database: Database, public_id: str | None, *, as_json: bool) -> int:
    if public_id is None:
        raise UsageError("revoke needs the public id of a key.", hint="fairtrial token list")
    with database.writing() as session:
        row = session.scalar(select(ApiKey).where(ApiKey.public_id == public_id))
        if row is None:
            raise UnknownNameError.among("API key", public_id, session.scalars(select(ApiKey.public_id)).all())
        before = _shown(row)
        row.revoked_at = row.revoked_at or utc_now()
        record_change(session, actor=me(), now=utc_now(), action="key.revoke", on=("api_key", public_id), before=before, after=_shown(row))
    if as_json:
        print_json(_shown(row))
    else:
        talk().print(f"Revoked {public_id}; running services forget it within a minute.", highlight=False)
    return 0


def _shown(row: ApiKey) -> dict[str, object]:
    """A key without its hash."""
    shown: dict[str, object] = {
        "public_id": row.public_id,
        "name": row.name,
        "role": row.role,
        "kind": row.kind,
        "environment": row.environment,
        "origins": row.origins_json,
    }
    for name, time in (("created_at", row.created_at), ("expires_at", row.expires_at), ("revoked_at", row.revoked_at)):
        shown[name] = None if time is None else time.isoformat()
    return shown
