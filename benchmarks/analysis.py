"""Analysis from a Parquet file to a finished table of tests, against the bare scan and against peers.

    python benchmarks/analysis.py [--rounds 5] [--only 10x5]

Data: N users x K metrics (a fifth each binary, revenue with 95% zeros, count, ratio, continuous), every one with a
pre-period covariate, two arms, zstd Parquet. The limit is the same engine's `sum()` of the same columns.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness import compare, machine, measure, table

CACHE = Path(__file__).parent.parent / ".cache" / "benchmarks"
SIZES = {"1x5": (1_000_000, 5), "10x5": (10_000_000, 5), "1x50": (1_000_000, 50)}
LIMIT = "bare sum() scan"
CASES = {
    LIMIT: ("1x5", "10x5", "1x50"),
    "fairtrial": ("1x5", "10x5", "1x50"),
    "tea-tasting, DuckDB": ("1x5", "10x5", "1x50"),
    "tea-tasting, pandas": ("1x5", "10x5"),
    "pandas + scipy by hand": ("1x5", "10x5", "1x50"),
    "uniqueness check of units, apart": ("1x5", "10x5"),
}


def columns(metrics: int) -> list[tuple[str, str]]:
    """Column names and how each is drawn."""
    drawn = []
    for i in range(metrics):
        for suffix in ("", "_pre"):
            kind = i % 5
            if kind == 0:
                drawn.append((f"bin{i}{suffix}", "(random() < 0.1)::TINYINT"))
            elif kind == 1:
                drawn.append((f"rev{i}{suffix}", "CASE WHEN random() < 0.95 THEN 0 ELSE exp(3 + 2 * random()) END"))
            elif kind == 2:
                drawn.append((f"cnt{i}{suffix}", "floor(10 * random() * random())::INTEGER"))
            elif kind == 3:
                drawn.append((f"num{i}{suffix}", "floor(4 * random())::INTEGER"))
                drawn.append((f"den{i}{suffix}", "(1 + floor(8 * random()))::INTEGER"))
            else:
                drawn.append((f"con{i}{suffix}", "100 + 15 * sqrt(-2 * ln(random() + 1e-12)) * cos(6.283185 * random())"))
    return drawn


def data(size: str) -> Path:
    """The Parquet file of a size, made once."""
    import duckdb

    rows, metrics = SIZES[size]
    path = CACHE / f"{size}.parquet"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        listed = ", ".join(f"{how} AS {name}" for name, how in columns(metrics))
        query = f"SELECT range AS user_id, (hash(range) % 2)::TINYINT AS variant, {listed} FROM range({rows})"
        duckdb.sql(f"SELECT setseed(0.42); COPY ({query}) TO '{path}.part' (FORMAT parquet, COMPRESSION zstd)")
        Path(f"{path}.part").replace(path)
    return path


def bare(path: Path, metrics: int) -> object:
    import duckdb

    connection = duckdb.connect()
    connection.execute("SELECT 1")
    query = "SELECT " + ", ".join(f"sum({name})" for name, _ in columns(metrics)) + f" FROM '{path}'"
    return measure(lambda: round(float(sum(connection.execute(query).fetchone())), 3))


def ours(path: Path, metrics: int) -> object:
    from fairtrial.analysis import analyze_spec
    from fairtrial.spec import parse_spec

    def metric(i: int) -> dict[str, object]:
        role = "primary" if i == 0 else "secondary"
        name = ("bin", "rev", "cnt", "num", "con")[i % 5] + str(i)
        if i % 5 == 3:
            parts = {"numerator": name, "denominator": f"den{i}", "covariate": f"{name}_pre", "covariate_denominator": f"den{i}_pre"}
            return {"key": f"ratio{i}", "kind": "ratio", "role": role, **parts}
        kind = {0: "proportion", 2: "count"}.get(i % 5, "mean")
        return {"key": name, "kind": kind, "role": role, "covariate": f"{name}_pre"}

    spec = parse_spec(
        {
            "key": "bench",
            "arms": ["0", "1"],
            "control": "0",
            "metrics": [metric(i) for i in range(metrics)],
            "plan": {"sample_size": 1000},
            "data": {"source": str(path), "arm": "variant"},
        }
    )
    warm_up(path, analyze_spec, spec)
    return measure(lambda: len(analyze_spec(spec).comparisons))


def warm_up(path: Path, analyze: object, spec: object) -> None:
    """Load every module on a small file, as imports are outside the clock."""
    import duckdb

    small = path.with_suffix(".small.parquet")
    if not small.exists():
        duckdb.sql(f"COPY (SELECT * FROM '{path}' LIMIT 5000) TO '{small}' (FORMAT parquet)")
    analyze(spec, source=str(small))


def tea_experiment(metrics: int) -> object:
    import tea_tasting as tt

    found = {}
    for i in range(metrics):
        name = ("bin", "rev", "cnt", "num", "con")[i % 5] + str(i)
        if i % 5 == 3:
            found[name] = tt.RatioOfMeans(name, f"den{i}", f"{name}_pre", f"den{i}_pre")
        else:
            found[name] = tt.Mean(name, covariate=f"{name}_pre")
    return tt.Experiment(found, variant="variant")


def tea_duckdb(path: Path, metrics: int) -> object:
    import ibis

    connection = ibis.duckdb.connect()
    experiment = tea_experiment(metrics)
    return measure(lambda: len(experiment.analyze(connection.read_parquet(str(path)), control=0)))


def tea_pandas(path: Path, metrics: int) -> object:
    import pandas as pd

    experiment = tea_experiment(metrics)
    return measure(lambda: len(experiment.analyze(pd.read_parquet(path), control=0)))


def by_hand(path: Path, metrics: int) -> object:
    import pandas as pd
    from scipy import stats

    def work() -> int:
        frame = pd.read_parquet(path)
        control, treatment = frame[frame["variant"] == 0], frame[frame["variant"] == 1]
        done = 0
        for i in range(metrics):
            name = ("bin", "rev", "cnt", "num", "con")[i % 5] + str(i)
            sides = []
            if i % 5 == 3:
                for side in (control, treatment):
                    y = (side[name] - side[name].mean() / side[f"den{i}"].mean() * side[f"den{i}"]) / side[f"den{i}"].mean()
                    sides.append(y + side[name].mean() / side[f"den{i}"].mean())
            else:
                x = frame[f"{name}_pre"]
                theta = frame[name].cov(x) / x.var()
                sides = [side[name] - theta * (side[f"{name}_pre"] - x.mean()) for side in (control, treatment)]
            stats.ttest_ind(sides[1], sides[0], equal_var=False)
            done += 1
        return done

    return measure(work)


def uniqueness(path: Path, _: int) -> object:
    import duckdb

    connection = duckdb.connect()
    connection.execute("SELECT 1")
    return measure(lambda: connection.execute(f"SELECT count(DISTINCT user_id) = count(*) FROM '{path}'").fetchone()[0])


RUN = {
    LIMIT: bare,
    "fairtrial": ours,
    "tea-tasting, DuckDB": tea_duckdb,
    "tea-tasting, pandas": tea_pandas,
    "pandas + scipy by hand": by_hand,
    "uniqueness check of units, apart": uniqueness,
}


def versions() -> str:
    found = []
    for name in ("fairtrial", "duckdb", "ibis-framework", "tea-tasting", "pandas", "numpy", "scipy"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} absent")
    return ", ".join(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case")
    parser.add_argument("--size", choices=list(SIZES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=list(SIZES), action="append")
    options = parser.parse_args()
    if options.case:
        print(json.dumps(RUN[options.case](data(options.size), SIZES[options.size][1])))
        return
    print(f"Machine: {machine()}.\nVersions: {versions()}.\nCommand: python benchmarks/analysis.py --rounds {options.rounds}.\n")
    for size, (rows, metrics) in SIZES.items():
        if options.only and size not in options.only:
            continue
        data(size)
        cases = [case for case, sizes in CASES.items() if size in sizes]
        results = compare(__file__, cases, ["--size", size], rounds=options.rounds)
        print(table(f"{rows // 1_000_000}M users x {metrics} metrics", results, LIMIT))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
