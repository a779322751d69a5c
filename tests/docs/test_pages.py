"""Every command, file and piece of Python in the documentation does what the page says."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import duckdb
import psycopg
import pytest
from page_runner import DOCS, ROOT, blocks_of, commands_of, difference, run_page

from fairtrial.cli.app import VERBS

DOCUMENTED_POSTGRES = "postgresql://analyst@db.example/shop"
DOCUMENTED_SPARK = "spark://local"
ELSEWHERE = {"howto/connect.md", "howto/effects-by-features.md"}
"""Pages that need an engine or an extra; they have tests of their own below."""

PAGES = [path for path in sorted(DOCS.rglob("*.md")) if path.relative_to(DOCS).as_posix() not in ELSEWHERE]
CONNECT = DOCS / "howto" / "connect.md"


def test_the_readme_runs_as_it_is_written(tmp_path: Path):
    """Its commands run as the installed program."""
    assert run_page(ROOT / "README.md", tmp_path, installed=True) >= 7


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_page_runs_as_it_is_written(page: Path, tmp_path: Path):
    run_page(page, tmp_path)


def test_the_page_on_engines_runs_on_files_sqlite_and_postgres(documented_postgres: str, tmp_path: Path):
    script = next(block for block in blocks_of(CONNECT) if block.title == "make_visits.py")
    exec(script.text.replace("'visits.parquet'", f"'{tmp_path}/rows.parquet'").partition("duckdb.sql(\"COPY visits TO 'visits.csv'\")")[0])
    rows = duckdb.sql(f"FROM '{tmp_path}/rows.parquet'").fetchall()
    with psycopg.connect(documented_postgres) as connection:
        connection.execute("CREATE TABLE visits (visitor INTEGER, arm TEXT, signed_up INTEGER)")
        connection.cursor().executemany("INSERT INTO visits VALUES (%s, %s, %s)", rows)
    assert run_page(CONNECT, tmp_path, replace={DOCUMENTED_POSTGRES: documented_postgres}, without=(DOCUMENTED_SPARK,)) > 7


@pytest.mark.spark
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_page_on_engines_runs_on_spark(tmp_path: Path):
    """pyspark leaves the socket of each result to the garbage collector."""
    sql = pytest.importorskip("pyspark.sql", reason="pyspark is not installed (extra [spark])")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java 17 or later, there is none")
    shared = sql.SparkSession.getActiveSession()
    try:
        assert run_page(CONNECT, tmp_path, without=("postgresql://",)) > 5
    finally:
        if shared is None and (own := sql.SparkSession.getActiveSession()) is not None:
            own.stop()


@pytest.mark.cate
def test_the_page_on_many_features_runs_with_econml(tmp_path: Path):
    pytest.importorskip("econml", reason="econml is not installed (extra [cate])")
    assert run_page(DOCS / "howto" / "effects-by-features.md", tmp_path) >= 3


def test_the_readme_names_exactly_two_commands_to_set_up():
    (setting_up,) = [block for block in blocks_of(ROOT / "README.md") if block.language == "sh"]
    assert setting_up.text.split("\n") == ["make demo", "make test", ""]


def test_the_readme_promises_nothing_of_outside_hosts():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"https?://(?!127\.0\.0\.1:8000)", text) == []
    assert "![" not in text


def test_links_of_the_readme_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)", text)
    assert len(targets) > 4
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_every_verb_is_shown_at_work():
    """A page that shows a verb runs it."""
    shown = {
        command.text.split()[1]
        for page in [ROOT / "README.md", *DOCS.rglob("*.md")]
        for block in blocks_of(page)
        if block.language == "console"
        for command in commands_of(block)
        if command.text.startswith("fairtrial ")
    }
    assert sorted(set(VERBS) - shown) == []


@pytest.mark.parametrize(
    ("expected", "printed", "agrees"),
    [
        ((), "anything\n", True),
        (("a", "b"), "a\nb\n", True),
        (("a",), "a\nb\n", False),
        (("a", "..."), "a\nb\nc\n", True),
        (("...", "c"), "a\nb\nc\n", True),
        (("b", "..."), "a\nb\nc\n", False),
        (("p = ...", ""), "p = 0.03\n", True),
        (("p = 0.04",), "p = 0.03\n", False),
        (("a", "", "b"), "a\n\nb  \n\n", True),
        (("...", "b", "...", "a"), "a\nb\n", False),
    ],
)
def test_what_a_page_shows_is_compared_with_what_is_printed(expected, printed, agrees):
    """The check can fail."""
    assert (difference(expected, printed) == "") is agrees


def test_a_page_with_a_wrong_claim_fails(tmp_path: Path):
    page = DOCS / "reference" / "cli.md"
    assert "fairtrial version --json" in page.read_text(encoding="utf-8")
    wrong = ROOT / "tests" / "docs" / "wrong_page.md"
    for text in (
        "```console\n$ fairtrial version\n9.9.9\n```\n",
        "```console\n$ fairtrial analyze nowhere.yaml\n```\n",
        "```python\n>>> 1 + 1\n3\n```\n",
        "```sh\nmake coffee\n```\n",
        "```yaml\nplan: {alhpa: 0.05}\n```\n",
    ):
        wrong.write_text(text, encoding="utf-8")
        try:
            with pytest.raises((AssertionError, ValueError)):
                run_page(wrong, tmp_path)
        finally:
            wrong.unlink()
