"""Write the tables of those examples whose raw file lacks a column: `python examples/prepare.py DATA OUT`."""

import sys
from pathlib import Path

import duckdb

TABLES = {
    "penn_bonus_log.parquet": "SELECT *, ln(inuidur1) AS log_weeks FROM read_csv('{data}/penn_bonus.csv.gz')",
    # Who answered neither yes nor no has no awareness on record.
    "adsmart_answers.parquet": """
        SELECT *, yes + no AS answered, CASE WHEN yes + no = 1 THEN yes END AS aware
        FROM read_csv('{data}/adsmart.csv.gz')
    """,
    # Enrolments and payments are known of the first 23 days alone.
    "udacity_paid_days.parquet": "SELECT * FROM read_csv('{data}/udacity_free_trial.csv') WHERE payments IS NOT NULL",
    # One row an arm and a metric, at the last look of each experiment.
    "asos_final_looks.parquet": """
        WITH last AS (
            SELECT * FROM read_parquet('{data}/asos_experiments_part1.parquet')
            QUALIFY row_number() OVER (PARTITION BY experiment_id, variant_id, metric_id ORDER BY time_since_start DESC) = 1
        )
        SELECT experiment_id, variant_id, 'metric_' || metric_id AS metric, 'control' AS arm,
               count_c AS n, mean_c AS mean, variance_c AS variance FROM last
        UNION ALL
        SELECT experiment_id, variant_id, 'metric_' || metric_id, 'treatment', count_t, mean_t, variance_t FROM last
    """,
}


def prepare(data: Path, out: Path) -> None:
    """Write every table into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for name, query in TABLES.items():
        duckdb.sql(query.format(data=data)).write_parquet(str(out / name))


if __name__ == "__main__":
    prepare(Path(sys.argv[1]), Path(sys.argv[2]))
