"""`fairtrial db`: the tables of the service."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from fairtrial.cli.options import Json
from fairtrial.cli.output import out, print_json
from fairtrial.errors import UsageError
from fairtrial.service.settings import read_settings
from fairtrial.storage import Database, current_revision, differences, downgrade, newest_revision, open_database, upgrade
from fairtrial.storage.backup import back_up, restore

DatabaseUrl = Annotated[
    str | None,
    typer.Option("--database", help="sqlite:///FILE or postgresql://...; better set FAIRTRIAL_DATABASE_URL.", show_default=False),
]


@contextmanager
def the_database(url: str | None) -> Generator[Database]:
    """The database of the settings, closed at the end."""
    database = open_database(read_settings(database_url=url).database_url.get_secret_value())
    try:
        yield database
    finally:
        database.close()


def db(
    action: Annotated[
        Literal["upgrade", "current", "check", "downgrade", "backup", "restore"],
        typer.Argument(
            help="`upgrade` makes or renews the tables, `current` and `check` compare, `downgrade` takes them back; "
            "`backup` and `restore` copy SQLite."
        ),
    ],
    revision: Annotated[str | None, typer.Option(help="Where to; upgrade goes to the newest, downgrade needs it.")] = None,
    file: Annotated[Path | None, typer.Option(help="The copy that `backup` writes and `restore` reads.", show_default=False)] = None,
    database: DatabaseUrl = None,
    as_json: Json = False,
) -> int:
    """Make, renew, check or take back the service's tables. Exit 1 when `check` finds a difference."""
    with the_database(database) as opened:
        if action in {"backup", "restore"}:
            return _copied(opened, action, file, as_json=as_json)
        found: list[str] = []
        if action == "upgrade":
            upgrade(opened, revision or "head")
        elif action == "downgrade":
            if revision is None:
                raise UsageError("downgrade needs --revision: what later tables hold is lost.", hint="--revision base takes back all.")
            downgrade(opened, revision)
        elif action == "check":
            found = differences(opened)
        there = current_revision(opened)
        wanted = newest_revision()
        if as_json:
            print_json({"database": opened.safe_url, "revision": there, "newest": wanted, "differences": found})
        else:
            out().print(f"{opened.safe_url}  revision {there or 'none'} (newest {wanted})", highlight=False, markup=False)
            for difference in found:
                out().print(f"differs: {difference}", highlight=False, markup=False)
        behind = action == "check" and (bool(found) or there != wanted)
    return 1 if behind else 0


def _copied(database: Database, action: str, file: Path | None, *, as_json: bool) -> int:
    if file is None:
        raise UsageError(f"{action} needs --file.", hint="fairtrial db backup --file fairtrial-2026-03-01.db")
    if action == "backup":
        size = back_up(database, file)
    else:
        restore(database, file)
        upgrade(database)
        size = file.stat().st_size
    if as_json:
        print_json({"database": database.safe_url, "file": str(file), "bytes": size})
    else:
        out().print(f"{database.safe_url}  {action}  {file}", highlight=False, markup=False)
    return 0
