"""`fairtrial verify`: the same spec, data and program give the same scorecard, and what differs is named (issue 5, Reports)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_cli import SHORT, fairtrial

from fairtrial.analysis.verify import compare_scorecards

LOOKS = SHORT.replace("mde_kind: absolute", "mde_kind: absolute, method: group_sequential, sequential: {looks: 3}")


def write_rows(folder, won_each=10):
    rows = [f"u{i},{'control' if i % 2 else 'treatment'},{int(i // 2 % won_each == 0)}" for i in range(400)]
    (folder / "units.csv").write_text("user,arm,bought\n" + "\n".join(rows) + "\n", encoding="utf-8")


@pytest.fixture
def analysed(tmp_path):
    (tmp_path / "cart.yaml").write_text(SHORT, encoding="utf-8")
    write_rows(tmp_path)
    assert fairtrial("analyze", "cart.yaml", "--scorecard", "card.json", cwd=tmp_path).returncode == 0
    return tmp_path


def verified(folder, *more):
    done = fairtrial("verify", "card.json", "cart.yaml", "--json", *more, cwd=folder)
    return done.returncode, json.loads(done.stdout)


def test_nothing_changed(analysed):
    assert verified(analysed) == (0, {"experiment": "cart", "result": "equal", "causes": [], "differences": []})
    assert "Equal" in fairtrial("verify", "card.json", "cart.yaml", cwd=analysed).stdout


def test_other_data_is_named_with_what_it_changed(analysed):
    write_rows(analysed, won_each=8)
    code, found = verified(analysed)
    assert (code, found["result"], found["causes"]) == (1, "different", ["data"])
    assert "comparisons[0].estimate.control" in {row["path"] for row in found["differences"]}
    said = fairtrial("verify", "card.json", "cart.yaml", cwd=analysed).stdout
    assert "The data is not what it was." in said


def test_another_spec_is_named(analysed):
    (analysed / "cart.yaml").write_text(SHORT.replace("mde: 0.01", "mde: 0.02"), encoding="utf-8")
    code, found = verified(analysed)
    assert (code, found["causes"]) == (1, ["spec"])
    assert "plan.planned_n" in {row["path"] for row in found["differences"]}


def test_another_version_is_named_even_where_the_numbers_agree(analysed):
    card = json.loads((analysed / "card.json").read_text(encoding="utf-8"))
    (analysed / "card.json").write_text(json.dumps({**card, "code_version": "0.0.1"}), encoding="utf-8")
    assert verified(analysed) == (1, {"experiment": "cart", "result": "different", "causes": ["version"], "differences": []})
    assert "It was 0.0.1" in fairtrial("verify", "card.json", "cart.yaml", cwd=analysed).stdout


def test_a_number_that_was_tampered_with_is_found(analysed):
    text = (analysed / "card.json").read_text(encoding="utf-8")
    card = json.loads(text)
    card["comparisons"][0]["estimate"]["p_value"] *= 0.99
    (analysed / "card.json").write_text(json.dumps(card), encoding="utf-8")
    code, found = verified(analysed)
    assert code == 1
    assert [row["path"] for row in found["differences"]] == ["comparisons[0].estimate.p_value"]


def test_earlier_looks_are_needed_again(tmp_path):
    (tmp_path / "cart.yaml").write_text(LOOKS, encoding="utf-8")
    write_rows(tmp_path)
    fairtrial("analyze", "cart.yaml", "--scorecard", "first.json", cwd=tmp_path)
    fairtrial("analyze", "cart.yaml", "--previous", "first.json", "--scorecard", "card.json", cwd=tmp_path)
    refused = fairtrial("verify", "card.json", "cart.yaml", cwd=tmp_path)
    assert refused.returncode == 2
    assert "after 1 earlier looks, got 0" in refused.stderr
    assert verified(tmp_path, "--previous", "first.json")[1]["result"] == "equal"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema_version": 99}', "\x00"])
def test_what_is_no_scorecard_is_refused(analysed, text):
    (analysed / "card.json").write_text(text, encoding="utf-8")
    done = fairtrial("verify", "card.json", "cart.yaml", cwd=analysed)
    assert done.returncode == 2
    assert "card.json" in done.stderr


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(before=st.dictionaries(st.text(max_size=3), JSON, max_size=4), now=st.dictionaries(st.text(max_size=3), JSON, max_size=4))
def test_equal_means_equal(before, now):
    assert compare_scorecards(before, before).result == "equal"
    assert (compare_scorecards(before, now).result == "equal") == (json.dumps(before) == json.dumps(now) or before == now)


@pytest.mark.parametrize(
    ("before", "now", "result"),
    [
        (1.0, 1.0 + 1e-12, "equal_but_rounding"),
        (1.0, 1.0 + 1e-6, "different"),
        (0.0, 1e-300, "different"),
        (1, 1.5, "different"),
        (1, True, "different"),
        (1.0, None, "different"),
    ],
)
def test_rounding_is_told_from_a_change(before, now, result):
    assert compare_scorecards({"a": [before]}, {"a": [now]}).result == result
