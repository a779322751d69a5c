"""The example that the package carries: a real advertising holdout, laid out as a unit table."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import duckdb

USERS = 588_101
"""People in the experiment."""


def lay_out_example(folder: Path) -> Path:
    """Write the example's unit table, spec and attribution into `folder`.

    Args:
        folder: Made if it does not exist; files of the same name are replaced.

    Returns:
        The path of the spec.
    """
    folder.mkdir(parents=True, exist_ok=True)
    example = resources.files("fairtrial.analysis") / "example"
    for name in ("spec.yaml", "ATTRIBUTION.md"):
        (folder / name).write_bytes((example / name).read_bytes())
    with resources.as_file(example / "marketing_ab_counts.csv") as counts:
        _write_units(counts, folder / "ad_holdout.parquet")
    return folder / "spec.yaml"


def _write_units(counts: Path, target: Path) -> None:
    """One row per person: `users` rows of each line, the first `converted` of them converted.

    Rows are put in the order of a hash of their number, as a log would have them.
    """
    unfinished = target.with_suffix(".unfinished")
    with duckdb.connect() as connection:
        connection.execute(
            """
            CREATE TABLE people AS
            SELECT row_number() OVER () AS user_id, test_group, i <= converted AS converted,
                   CAST(level AS TINYINT) AS most_ads_hour
            FROM read_csv($1, all_varchar = true) AS c (dimension, level, test_group, users_text, converted_text),
                 LATERAL (SELECT CAST(users_text AS INTEGER) AS users, CAST(converted_text AS INTEGER) AS converted),
                 LATERAL (SELECT unnest(range(1, users + 1)) AS i)
            WHERE dimension = 'most_ads_hour'
            """,
            [str(counts)],
        )
        relation = connection.sql("SELECT * FROM people ORDER BY hash(user_id)")
        relation.write_parquet(str(unfinished), compression="zstd")
    unfinished.replace(target)
