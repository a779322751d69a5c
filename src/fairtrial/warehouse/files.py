"""Which files an address means, told by their first bytes and never by reading them whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fairtrial.errors import UsageError, did_you_mean

FileKind = Literal["parquet", "csv"]
_KINDS: dict[str, FileKind] = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".tsv": "csv"}
_PACKED = {".gz", ".zst"}
_PARQUET_MAGIC = b"PAR1"
_HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Data files of one kind, sorted by path."""

    kind: FileKind
    paths: tuple[Path, ...]


def find_files(path: Path) -> Files:
    """The data files at `path`: itself, or all below it when it is a folder.

    Raises:
        UsageError: Nothing is there, a folder holds no data files or both kinds, or a
            file is neither Parquet nor CSV by its name and first bytes.
    """
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.is_file() and _kind_by_name(file))
        found = [file for file in found if not any(part.startswith((".", "_")) for part in file.relative_to(path).parts)]
        kinds: list[FileKind] = sorted({kind for file in found if (kind := _kind_by_name(file))})
        if len(kinds) != 1:
            got = "none" if not kinds else " and ".join(kinds)
            raise UsageError(f"A folder must hold Parquet or CSV files, one kind, {path.name!r} holds {got}.", code="bad_file")
        for file in found:
            _check_head(file, kinds[0])
        return Files(kind=kinds[0], paths=tuple(found))
    if not path.exists():
        siblings = sorted(file.name for file in path.parent.iterdir()) if path.parent.is_dir() else []
        where = repr(path.parent.name) if path.parent.name else "the working directory"
        raise UsageError(
            f"The data file must exist, there is no {path.name!r} in {where}.",
            hint=did_you_mean(path.name, siblings) or "Paths count from the spec's file.",
            code="missing_file",
        )
    kind = _kind_by_name(path)
    if kind is None:
        raise UsageError(
            f"A data file must be Parquet or CSV, {path.name!r} is neither by its name.",
            hint=_advice(path),
            code="bad_file",
        )
    _check_head(path, kind)
    return Files(kind=kind, paths=(path,))


def _kind_by_name(path: Path) -> FileKind | None:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _PACKED:
        suffixes = suffixes[:-1]
        return "csv" if suffixes and _KINDS.get(suffixes[-1]) == "csv" else None
    return _KINDS.get(suffixes[-1]) if suffixes else None


def _check_head(path: Path, kind: FileKind) -> None:
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if not head:
        raise UsageError(f"A data file must not be empty, {path.name!r} has 0 bytes.", code="bad_file")
    if kind == "parquet" and not head.startswith(_PARQUET_MAGIC):
        raise UsageError(f"{path.name!r} is named as Parquet but does not begin like it.", hint=_advice(path), code="bad_file")
    if kind == "csv" and path.suffix.lower() not in _PACKED and (head.startswith(_PARQUET_MAGIC) or b"\0" in head):
        raise UsageError(f"{path.name!r} is named as CSV but holds no text.", hint=_advice(path), code="bad_file")


def _advice(path: Path) -> str:
    with path.open("rb") as stream:
        head = stream.read(16)
    if head.startswith(_PARQUET_MAGIC):
        return "It begins like Parquet: rename it to .parquet."
    if head.startswith(b"SQLite format 3"):
        return f"It is a SQLite database: write sqlite:///{path.name}."
    if head[8:12] == b"DUCK":
        return f"It is a DuckDB database: write duckdb:///{path.name}."
    return "Save it as Parquet (pandas: frame.to_parquet) or as CSV."
