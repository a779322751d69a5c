"""What a person gets who gives the program something wrong (issue 3: bad input; G-6, G-17).

Every case asks for the same four things: no traceback, the rule and what came, what to do,
and an exit code that a script can read. No file is left behind that was not asked for.
"""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fairtrial.cli import main
from fairtrial.cli.app import VERBS

SPEC = """\
key: cart
arms: {control: 0.5, treatment: 0.5}
metrics: [{key: bought, kind: proportion, role: primary}, {key: spend, kind: mean}]
plan: {baseline: 0.1, mde: 0.2}
data: {source: units.csv, unit: user}
"""
HEADER = "user,arm,bought,spend"
ROWS = [f"u{i},{'control' if i % 2 else 'treatment'},{int(i // 2 % 10 == 0)},{10 + i % 7}" for i in range(200)]
PROGRAM = Path(sys.executable).parent / "fairtrial"
DESIGNS = {
    "did": "key: policy\nkind: did\nmetrics: [{key: spend, kind: mean}]\n"
    "design: {unit: user, time: week, treated: arm, start: 5}\ndata: {source: units.csv}\n",
    "rdd": "key: policy\nkind: rdd\nmetrics: [{key: spend, kind: mean}]\ndesign: {running: bought}\ndata: {source: units.csv}\n",
}


def fairtrial(*arguments, cwd):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stderr(err), contextlib.redirect_stdout(out), pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return subprocess.CompletedProcess(arguments, ended.value.code, out.getvalue(), err.getvalue())


def process(*arguments, cwd, **environment):
    return subprocess.run(
        [PROGRAM, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )


def words(text):
    return " ".join(text.replace("│", " ").split())


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "cart.yaml").write_text(SPEC, encoding="utf-8")
    (tmp_path / "units.csv").write_text("\n".join([HEADER, *ROWS]) + "\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("mde: 0.2", "mde: 5%"), "Fractions, not percent: write 0.05"),
        (("mde: 0.2", "mde: five"), "should be a valid number, got 'five'."),
        (("mde: 0.2", "mde: -0.2"), "direction: decrease"),
        (("mde: 0.2", "mde: 0.2, power: 80"), "write 0.8"),
        (("kind: mean", "kind: quantile, q: 95"), "write 0.95"),
        (("kind: mean", "kind: quantile"), "Such as q: 0.95"),
        (("kind: mean", "kind: mean, test: rank-sum"), "Did you mean 'mann_whitney'?"),
        (("kind: mean", "kind: conversion"), "Did you mean 'proportion'?"),
        (("kind: mean", "kind: mean, direction: lower"), "Did you mean 'decrease'?"),
        (("mde: 0.2", "mde: 0.2, method: mSPRT"), "Did you mean 'always_valid'?"),
        (("mde: 0.2", "mde: 0.2, method: sequential"), "Did you mean 'group_sequential'?"),
        (("arms: {control: 0.5, treatment: 0.5}", "arms: control treatment"), "Such as arms: [control, treatment]"),
        (("arms: {control: 0.5, treatment: 0.5}\n", ""), "arms is required. Such as"),
        (("arms: {control: 0.5, treatment: 0.5}", "arms: [control]"), "Such as arms: [control, treatment]"),
        (("{key: spend, kind: mean}", "spend"), "Such as {key: bought, kind: proportion}"),
        (("{key: spend, kind: mean}", "{key: spend}"), "needs the key 'kind'. Such as"),
        (("treatment: 0.5", "'': 0.5"), "must not be empty"),
        (("{source: units.csv, unit: user}", "units.csv"), "Such as data: {source: units.csv"),
        (("unit: user", "unit: user, where: 'age > 3'"), "Such as where: {country: de}"),
        (("key: cart", "key: cart\nschedule: {start: tomorrow}"), "Such as 2026-03-01"),
        (("key: cart", "key: cart\nschedule: {start: 2026-02-31}"), "line 2, column 19: '2026-02-31' is no date"),
        (("key: cart", "key: cart\n\tname: x"), "with spaces, never with tabs"),
        (("key: cart", "key: cart\nname: it works: really"), "line 2, column 15"),
        (("key: cart", "key: cart\nname: it works: really"), "Put text that holds a colon in quotes"),
        (("unit: user}", "unit: user"), "close it"),
        (("key: cart", "key: cart\nkey: cart"), "Keep one of the two"),
        (("key: cart", "key: " + "x" * 5000 + "\nalpha: 2"), "at most 200 characters"),
    ],
)
def test_a_broken_spec_is_told_what_to_write_instead(shop, change, said):
    (shop / "cart.yaml").write_text(SPEC.replace(*change), encoding="utf-8")
    done = fairtrial("validate", "cart.yaml", cwd=shop)
    assert done.returncode == 1
    assert said in words(done.stderr)
    assert "unicode string" not in done.stderr
    assert len(done.stderr) < 1500


def test_every_broken_spec_of_a_folder_is_named(shop):
    (shop / "cart.yaml").write_text(SPEC.replace("mde: 0.2", "mde: 0"), encoding="utf-8")
    (shop / "other.yaml").write_text(SPEC.replace("key: cart", "key: other").replace("control: 0.5", "control: 0.6"), encoding="utf-8")
    done = fairtrial("validate", ".", cwd=shop)
    assert done.returncode == 1
    assert "cart.yaml:4" in done.stderr
    assert "other.yaml:1" in done.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "holds nothing"), ("- 1\n", "holds a list"), ("~\n", "holds nothing"), ("hello\n", "holds text")],
)
def test_a_file_that_is_no_mapping_says_how_a_spec_begins(shop, content, said):
    (shop / "cart.yaml").write_text(content, encoding="utf-8")
    done = fairtrial("analyze", "cart.yaml", cwd=shop)
    assert done.returncode == 2
    assert said in done.stderr
    assert "What to do: It begins with lines such as `key: checkout`" in words(done.stderr)


@pytest.mark.parametrize(
    ("rows", "code", "said"),
    [
        ([HEADER, *ROWS, "u999,control"], 1, "cells that its first row names"),
        ([HEADER + ",more", *ROWS], 1, "cells that its first row names"),
        ([HEADER, *ROWS[:100], *(row + ",9" for row in ROWS[100:])], 2, "and all rows have as many cells"),
        (ROWS, 2, "Values stand where names should"),
        ([HEADER, *(row.replace(row.split(",")[0], f"u{i // 2}") for i, row in enumerate(ROWS))], 1, "all 100 units of column 'user'"),
        ([HEADER, *(row[row.index(",") :] for row in ROWS)], 1, "'user' is empty in all 200 rows"),
        ([HEADER, *(row.rpartition(",")[0] + ",1e308" for row in ROWS)], 0, "EXTEND TEST"),
    ],
)
def test_a_bad_table_is_told_apart_from_an_empty_one(shop, rows, code, said):
    (shop / "units.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    done = fairtrial("analyze", "cart.yaml", cwd=shop)
    assert done.returncode == code, done.stderr
    assert said in words(done.stderr + done.stdout)
    assert "Warning:" not in done.stderr


def test_text_that_is_not_utf8_is_named_as_such(shop):
    (shop / "units.csv").write_bytes("\n".join([HEADER, "ü" + ROWS[0], *ROWS[1:]]).encode("latin-1"))
    done = fairtrial("analyze", "cart.yaml", cwd=shop)
    assert done.returncode == 1
    assert "What to do: Save it as UTF-8." in words(done.stderr)


@pytest.mark.parametrize("address", ["https://example.com/units.csv", "s3://bucket/units.parquet"])
def test_a_file_elsewhere_is_to_be_fetched_first(shop, address):
    done = fairtrial("analyze", "cart.yaml", "--source", address, cwd=shop)
    assert done.returncode == 2
    assert "Download it first" in done.stderr


@pytest.mark.parametrize("name", ["[/cart]", "[bold]", "a [link=x] b"])
def test_names_that_look_like_markup_are_printed_as_they_stand(shop, name):
    spec = SPEC.replace("key: cart", f"key: '{name}'").replace("key: spend", f"key: '{name}'")
    (shop / "cart.yaml").write_text(spec, encoding="utf-8")
    assert f"✓ {name}  cart.yaml" in fairtrial("validate", "cart.yaml", cwd=shop).stdout
    done = fairtrial("analyze", "cart.yaml", cwd=shop)
    assert done.returncode == 2
    assert f"No column named '{name}'" in words(done.stderr)
    (shop / "cart.yaml").write_text(spec.replace("baseline: 0.1", "mde_kind: absolute"), encoding="utf-8")
    done = fairtrial("oc", "cart.yaml", "cart.yaml", cwd=shop)
    assert done.returncode == 1
    assert f"Not simulated: {name}." in words(done.stderr)


@pytest.mark.parametrize("design", DESIGNS)
def test_planning_verbs_say_that_a_design_without_assignment_is_analysed_only(shop, design):
    (shop / "cart.yaml").write_text(DESIGNS[design], encoding="utf-8")
    for verb in ("oc", "aa"):
        done = fairtrial(verb, "cart.yaml", cwd=shop)
        assert done.returncode == 2
        assert f"`fairtrial {verb}` is for experiments that assign units at random, 'policy' is of kind '{design}'" in words(done.stderr)
        assert "What to do: `fairtrial analyze`" in words(done.stderr)
    done = fairtrial("power", "cart.yaml", cwd=shop)
    assert done.returncode == 1
    assert "Nobody is assigned" in words(done.stderr)
    assert "What to do: `fairtrial analyze`" in words(done.stderr)


@pytest.mark.parametrize(
    ("plan", "said"),
    [("{}", "plan.mde"), ("{mde: 0.1}", "plan.baseline"), ("{baseline: 0.9, mde: 0.2}", "a value that the metric can have")],
)
def test_a_plan_that_says_too_little_is_told_what_to_add(shop, plan, said):
    (shop / "cart.yaml").write_text(SPEC.replace("{baseline: 0.1, mde: 0.2}", plan), encoding="utf-8")
    done = fairtrial("power", "cart.yaml", cwd=shop)
    assert done.returncode == 1
    assert said in words(done.stderr).partition("What to do:")[2]
    assert said in json.loads(fairtrial("power", "cart.yaml", "--json", cwd=shop).stdout)["hint"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("analyse", "cart.yaml"), "Did you mean 'analyze'?"),
        (("",), "No such command ''"),
        (("validate", ""), "got ''"),
        (("analyze", " "), "got ' '"),
        (("validate", "cart"), "There is a file of that name: cart.yaml."),
        (("analyze", "x" * 5000), "not found"),
        (("analyze", "cart.yaml", "--as-of", "0001-01-01T00:00:00+02:00"), "between the years"),
        (("analyze", "cart.yaml", "--as-of", "9999-12-31T23:59:59-10:00"), "between the years"),
        (("analyze", "cart.yaml", "--scorecard", "."), "it is a folder"),
        (("analyze", "cart.yaml", "--scorecard", "cart.yaml"), "must not overwrite a file that is read"),
        (("analyze", "cart.yaml", "--report", "./units.csv"), "must not overwrite a file that is read"),
        (("analyze", "cart.yaml", "--report", "x", "--scorecard", "x"), "must be two files"),
        (("analyze", "cart.yaml", "--report", "n" * 300), "too long"),
        (("oc", "cart.yaml", "--html", "no/where.html"), "Cannot write"),
        (("oc", "cart.yaml", "--html", "cart.yaml"), "must not overwrite"),
        (("quickstart", "--out", "cart.yaml"), "Cannot make the folder 'cart.yaml'"),
        (("quickstart", "--out", "/dev/null/x"), "Name another one by --out"),
        (("oc", "cart.yaml", "--seed", "-1"), "Invalid value for '--seed'"),
        (("aa", "cart.yaml", "--seed", "-1"), "Invalid value for '--seed'"),
        (("calibrate", "score", "--seed", "-1"), "Invalid value for '--seed'"),
        (("oc", "cart.yaml", "--runs", "10" * 9), "Invalid value for '--runs'"),
    ],
)
def test_wrong_calls_are_refused_before_any_work(shop, arguments, said):
    before = {path: path.read_bytes() for path in shop.iterdir()}
    done = fairtrial(*arguments, cwd=shop)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert said in words(done.stderr)
    assert "Reading" not in done.stderr
    assert {path: path.read_bytes() for path in shop.iterdir()} == before


def test_wrong_options_are_json_where_json_was_asked_for(shop):
    for arguments in (("oc", "cart.yaml", "--runs", "many", "--json"), ("analyse", "--json"), ("analyze", "--json", "--nonsense")):
        done = fairtrial(*arguments, cwd=shop)
        assert (done.returncode, done.stdout) == (2, "")
        assert set(json.loads(done.stderr)) == {"code", "detail", "hint"}


def test_an_earlier_scorecard_must_be_of_this_experiment_and_version(shop):
    assert fairtrial("analyze", "cart.yaml", "--scorecard", "one.json", cwd=shop).returncode == 0
    card = json.loads((shop / "one.json").read_text(encoding="utf-8"))
    for change, said in (({"experiment": "basket"}, "of the same experiment"), ({"schema_version": 99}, "newer fairtrial")):
        (shop / "other.json").write_text(json.dumps({**card, **change}), encoding="utf-8")
        done = fairtrial("analyze", "cart.yaml", "--previous", "other.json", cwd=shop)
        assert done.returncode == 2
        assert said in words(done.stderr)
    done = fairtrial("analyze", "cart.yaml", "--previous", "one.json", "--previous", "./one.json", cwd=shop)
    assert (done.returncode, "named once" in words(done.stderr)) == (2, True)
    for name, day in (("new.json", "2026-03-02"), ("old.json", "2026-03-01")):
        (shop / name).write_text(json.dumps({**card, "as_of": f"{day}T00:00:00Z"}), encoding="utf-8")
    done = fairtrial("analyze", "cart.yaml", "--previous", "new.json", "--previous", "old.json", cwd=shop)
    assert (done.returncode, "in the order of time" in words(done.stderr)) == (2, True)
    (shop / "one.json").write_text((shop / "one.json").read_text(encoding="utf-8")[:500], encoding="utf-8")
    assert fairtrial("analyze", "cart.yaml", "--previous", "one.json", cwd=shop).returncode == 2


def test_a_changed_spec_is_remarked_upon(shop):
    fairtrial("analyze", "cart.yaml", "--scorecard", "one.json", cwd=shop)
    assert "changed" not in fairtrial("analyze", "cart.yaml", "--previous", "one.json", cwd=shop).stderr
    (shop / "cart.yaml").write_text(SPEC.replace("mde: 0.2", "mde: 0.3"), encoding="utf-8")
    done = fairtrial("analyze", "cart.yaml", "--previous", "one.json", cwd=shop)
    assert done.returncode == 0
    assert "the spec has changed since the look in one.json" in words(done.stderr)


def test_a_link_stays_a_link_and_a_pipe_a_pipe(shop):
    (shop / "link.json").symlink_to(shop / "real.json")
    os.mkfifo(shop / "pipe")
    with subprocess.Popen(["cat", shop / "pipe"], stdout=subprocess.PIPE) as reader:
        try:
            done = fairtrial("analyze", "cart.yaml", "--scorecard", "link.json", "--report", "pipe", cwd=shop)
            page, _ = reader.communicate(timeout=60)
        finally:
            reader.kill()
    assert done.returncode == 0, done.stderr
    assert (shop / "link.json").is_symlink()
    assert json.loads((shop / "real.json").read_text(encoding="utf-8"))["experiment"] == "cart"
    assert (shop / "pipe").is_fifo()
    assert b"</html>" in page


def test_json_is_utf8_where_the_terminal_is_not(shop):
    (shop / "cart.yaml").write_text(SPEC.replace("key: cart", "key: корзина"), encoding="utf-8")
    old = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    assert json.loads(process("validate", "cart.yaml", "--json", cwd=shop, **old).stdout)["experiments"][0]["key"] == "корзина"
    for arguments in (("validate", "cart.yaml"), ("show", "cart.yaml"), ("list", "."), ("analyze", "cart.yaml")):
        done = process(*arguments, cwd=shop, **old)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    assert "корзина" in process("show", "cart.yaml", "--raw", cwd=shop, **old).stdout


def test_a_stop_from_the_keyboard_leaves_no_file_and_no_traceback(shop):
    with subprocess.Popen(
        [PROGRAM, "oc", "cart.yaml", "--baseline", "spend=10,3", "--runs", "3000000", "--html", "oc.html"],
        cwd=shop,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - a suite run in the background ignores it
    ) as running:
        try:
            while "Simulating" not in (line := running.stderr.readline()):
                assert line, "it ended by itself"
            time.sleep(0.5)
            running.send_signal(signal.SIGINT)
            try:
                out, err = running.communicate(timeout=60)
            except subprocess.TimeoutExpired:  # Python drops an interrupt that falls into a callback: one presses again
                running.send_signal(signal.SIGINT)
                out, err = running.communicate(timeout=60)
        finally:
            running.kill()
    assert running.returncode == 130
    assert "Stopped" in err
    assert "Traceback" not in err
    assert out == ""
    assert sorted(path.name for path in shop.iterdir()) == ["cart.yaml", "units.csv"]


@pytest.mark.parametrize(
    ("shell", "code", "said"),
    [
        ("list > /dev/full", 1, "No space left on device"),
        ("schema > /dev/full", 1, "No space left on device"),
        ("validate cart.yaml >&-", 0, ""),
        ("validate nothing.yaml 2>&-", 2, ""),
        ("validate cart.yaml <&-", 0, ""),
    ],
)
def test_a_full_disk_and_closed_streams_are_survived(shop, shell, code, said):
    done = subprocess.run(f"'{PROGRAM}' {shell}", shell=True, cwd=shop, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("mean", "inf", "Column 'spend' must be finite, 1 of 160 values break that, such as inf."),
        ("proportion", "2", "Column 'spend' of a proportion must lie in [0, 1], 1 of 160 values"),
        ("proportion", "-0.5", "such as -0.5"),
        ("proportion", "0.25", None),
        ("count", "-1", "Column 'spend' of a count must not be negative"),
        ("mean", "-1", None),
        ("mean", "1e200", "Numbers of column 'spend' must lie within 1e+60"),
    ],
)
def test_a_design_reads_only_values_of_the_metrics_kind(shop, kind, value, said):
    rows = [[f"u{i}", str(week), str(i % 2), str((i * week) % 5 // 4)] for i in range(20) for week in range(8)]
    rows[30][3] = value
    (shop / "units.csv").write_text("user,week,treated,spend\n" + "\n".join(",".join(row) for row in rows) + "\n", encoding="utf-8")
    spec = DESIGNS["did"].replace("treated: arm", "treated: treated").replace("kind: mean", f"kind: {kind}")
    (shop / "cart.yaml").write_text(spec, encoding="utf-8")
    done = fairtrial("analyze", "cart.yaml", "--scorecard", "card.json", cwd=shop)
    if said is None:
        assert "the width of the interval says what this design can tell apart" in words(done.stdout)
        assert json.loads((shop / "card.json").read_text(encoding="utf-8"))["comparisons"][0]["estimate"]["n_treatment"] == 10
    else:
        assert done.returncode == 1
        assert said in words(done.stderr)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("week", "soon", "Column 'week' must hold numbers or dates, it holds 'soon'."),
        ("spend", "much", "Column 'spend' must hold numbers or dates, it holds 'much'."),
        ("spend", "", "have no 'spend'"),
    ],
)
def test_a_broken_column_of_a_design_is_no_lack_of_data(shop, column, value, said):
    names = ["user", "week", "treated", "spend"]
    rows = [[f"u{i}", str(week), str(i % 2), str(i + week)] for i in range(20) for week in range(8)]
    rows[30][names.index(column)] = value
    (shop / "units.csv").write_text("\n".join(",".join(row) for row in [names, *rows]) + "\n", encoding="utf-8")
    (shop / "cart.yaml").write_text(DESIGNS["did"].replace("treated: arm", "treated: treated"), encoding="utf-8")
    done = fairtrial("analyze", "cart.yaml", "--scorecard", "card.json", cwd=shop)
    assert done.returncode == 1
    assert said in words(done.stderr)
    assert not (shop / "card.json").exists()


def test_a_full_disk_leaves_the_old_scorecard(shop):
    (shop / "one.json").symlink_to("/dev/full")
    done = fairtrial("analyze", "cart.yaml", "--scorecard", "one.json", cwd=shop)
    assert done.returncode == 2
    assert "Cannot write 'one.json': No space left on device." in words(done.stderr)


def test_list_says_what_each_experiment_is(shop):
    (shop / "cart.yaml").write_text(SPEC + "hypothesis: A red button is seen\n", encoding="utf-8")
    assert fairtrial("list", ".", cwd=shop).stdout == "cart  ab_test  1.0.0    A red button is seen\n"
    lines = fairtrial("list", cwd=shop).stdout.splitlines()
    assert len(lines) == len(json.loads(fairtrial("list", "--json", cwd=shop).stdout)["experiments"])
    assert max(len(line) for line in lines) <= 100


@pytest.mark.parametrize(("columns", "widest"), [("40", 40), ("0", 100), ("-5", 100), ("wide", 100), ("", 100)])
def test_output_keeps_to_the_columns_and_a_senseless_number_to_100(shop, columns, widest, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    lines = fairtrial("analyze", "cart.yaml", cwd=shop).stdout.splitlines()
    assert widest - 5 <= max(len(line) for line in lines) <= widest


def test_every_verb_takes_json(shop):
    """G-17: `--json` everywhere."""
    assert json.loads(fairtrial("schema", "--json", cwd=shop).stdout) == json.loads(fairtrial("schema", cwd=shop).stdout)
    for verb in VERBS:
        assert "--json" in fairtrial(verb, "--help", cwd=shop).stdout, verb


def test_the_version_is_an_option_too(shop):
    assert fairtrial("--version", cwd=shop).stdout == fairtrial("version", cwd=shop).stdout


def test_a_column_with_one_word_among_numbers_names_the_word(run, tmp_path):
    rows = "\n".join(f"u{i},{'control' if i % 2 else 'treatment'},{'fast' if i == 7 else i / 3}" for i in range(300))
    (tmp_path / "data.csv").write_text(f"user,arm,ms\n{rows}\n", encoding="utf-8")
    spec = tmp_path / "speed.yaml"
    spec.write_text(
        "key: speed\narms: [control, treatment]\nmetrics: [{key: ms, kind: mean, role: primary}]\n"
        "plan: {sample_size: 300}\ndata: {source: data.csv, unit: user, arm: arm}\n",
        encoding="utf-8",
    )
    code, _, said = run("analyze", spec)
    assert code == 1
    assert "it holds text: 'fast'." in " ".join(said.split())


def test_a_spec_of_a_bandit_that_is_not_there_is_said(run, tmp_path):
    code, _, said = run("bandit", tmp_path / "nobody.yaml", "--means", "a=0.1,b=0.2")
    assert code == 2
    assert "is not there" in said
