"""Holdouts assigned in stratified blocks (HO-42): lists, strata of profiles, results within strata."""

from __future__ import annotations

import json
import threading

import numpy as np
import pandas as pd
import pytest
from holdout_rows import START, add_outcomes
from hypothesis import given, settings
from hypothesis import strategies as st
from running_service import MARCH
from test_experiments import HOLDOUT

from fairtrial import analyze_spec, parse_spec
from fairtrial.assignment import assign_in_blocks
from fairtrial.service.results.strata import joined
from fairtrial.storage import ExperimentAssignment
from fairtrial.storage.readings import ArmCounts
from fairtrial.storage.tables import Profile

URL = "/api/v1/experiments"
FORM = {**HOLDOUT, "assignment_method": "stratified_blocks", "strata": ["land", "new"]}
SPEC = {
    "key": "mail",
    "kind": "holdout",
    "arms": [{"key": "control", "allocation": 0.4}, {"key": "treatment", "allocation": 0.6}],
    "metrics": [{"key": "converted", "kind": "proportion", "role": "primary"}, {"key": "value", "kind": "mean"}],
    "plan": {"sample_size": 3000},
    "schedule": {"start": "2026-03-01", "end": "2026-04-01"},
    "assignment": {"method": "stratified_blocks", "strata": ["land", "new"], "minimum_stratum_size": 40},
}
PLAIN = {name: part for name, part in SPEC.items() if name not in {"assignment", "schedule"}}


def people(service, n=1_500, seed=1):
    """Profiles with a land and whether they are new; every tenth without a profile, some ids of other scripts."""
    rng = np.random.default_rng(seed)
    land = rng.choice(["de", "fr", "日本", "is"], n, p=[0.5, 0.3, 0.18, 0.02])
    new = rng.random(n) < 0.3
    names = [f"{'用户' if i % 50 == 0 else 'p'}{seed}-{i}" for i in range(n)]
    strata = {}
    with service.database.writing() as session:
        for i, name in enumerate(names):
            strata[name] = "(missing) / (missing)" if i % 10 == 0 else f"{land[i]} / {str(bool(new[i])).lower()}"
            if i % 10:
                session.add(Profile(id=name, attributes_json={"land": str(land[i]), "new": bool(new[i])}, updated_at=MARCH))
    return strata


def begin(service, spec=SPEC):
    made = service.post(URL, {"spec": spec, "channel": "email", "conversion_key": "buy"})
    assert made.status_code == 201, made.text
    return made.json()["id"]


def groups(service):
    with service.database.reading() as session:
        return {row.profile_id: (row.group, row.stratum) for row in session.query(ExperimentAssignment).all()}


def test_each_stratum_holds_both_groups_in_their_shares(stored_service):
    """The first list is that of the library; another goes on with its blocks; the same again changes nothing."""
    service = stored_service
    strata = people(service)
    made = service.post("/api/experiments", FORM)
    assert made.status_code == 201, made.text
    setup = service.get("/api/experiments/1").json()["setup"]
    assert (setup["assignment_method"], setup["strata"]) == ("stratified_blocks", ["land", "new"])
    names = list(strata)
    first, later = names[:900], names[900:]
    body = service.post(f"{URL}/1/assign", {"profile_ids": [*first, first[0]]}).json()
    assert (body["assigned"], body["new"], body["moved"], body["excluded"]) == (900, 900, 0, {})
    ordered = sorted(first)
    expected = assign_in_blocks(
        ordered, [strata[one] for one in ordered], {"treatment": 0.8, "control": 0.2}, hash_key="1", salt="", least=100
    )
    drawn = zip(expected.arms, expected.strata, strict=True)
    assert groups(service) == dict(zip(ordered, drawn, strict=True))
    assert set(body["strata"]) == set(expected.strata)

    before = groups(service)
    again = service.post(f"{URL}/1/assign", {"profile_ids": first}).json()
    assert (again["new"], again["existing"]) == (0, 900)
    whole = service.post(f"{URL}/1/assign", {"profile_ids": names}).json()
    assert (whole["assigned"], whole["new"], whole["existing"]) == (len(names), len(later), 900)
    after = groups(service)
    assert {one: after[one] for one in first} == before
    for stratum, counts in whole["strata"].items():
        assert abs(counts.get("treatment", 0) - 0.8 * sum(counts.values())) < 5, stratum
    assert sum(sum(counts.values()) for counts in whole["strata"].values()) == len(names)


def test_results_are_those_of_a_file_compared_within_the_same_strata(stored_service, tmp_path):
    service = stored_service
    strata = people(service, n=3_000, seed=2)
    number = begin(service)
    service.post(f"{URL}/{number}/status", {"status": "running"})
    service.post(f"{URL}/{number}/assign", {"profile_ids": list(strata)})
    rng = np.random.default_rng(3)
    rows = []
    with service.database.writing() as session:
        for unit, (arm, stratum) in sorted(groups(service).items()):
            rate = {"de": 0.1, "fr": 0.5}.get(stratum[:2], 0.3) + (0.05 if arm == "treatment" else 0.0)
            value = float(5 + rng.integers(0, 20)) if rng.random() < rate else 0.0
            if value:
                add_outcomes(session, number, [unit], at=START + pd.Timedelta(days=2).to_pytimedelta(), value=value)
            rows.append({"unit": unit, "arm": arm, "stratum": stratum, "converted": int(value > 0), "value": value})
    service.clock.move(days=5)
    pd.DataFrame(rows).to_csv(tmp_path / "units.csv", index=False)
    card = service.get(f"{URL}/{number}/scorecard").json()
    table = {"source": str(tmp_path / "units.csv"), "unit": "unit", "arm": "arm"}
    plain = analyze_spec(parse_spec({**PLAIN, "data": table})).to_dict()
    same = analyze_spec(parse_spec({**PLAIN, "data": {**table, "strata": ["stratum"], "adjust": "post_stratify"}})).to_dict()
    for mine, theirs, wide in zip(card["comparisons"], same["comparisons"], plain["comparisons"], strict=True):
        for part in ("effect", "std_error", "p_value"):
            assert mine["estimate"][part] == pytest.approx(theirs["estimate"][part], rel=1e-9), part
        assert mine["estimate"]["std_error"] < wide["estimate"]["std_error"]
    assert any("compared within 8 strata of land, new" in note for note in card["intake"]["notes"])
    flat = service.get(f"{URL}/{number}/results").json()
    assert flat["uplift_abs"] == pytest.approx(card["comparisons"][0]["estimate"]["effect"])


def test_who_is_on_no_list_is_in_no_group(stored_service):
    """Neither a look-up, nor a flag, nor an exposure draws a group; on the list, all three say the stored one."""
    service = stored_service
    strata = people(service, n=200)
    number = begin(service)
    service.post(f"{URL}/{number}/status", {"status": "running"})
    unit, other = list(strata)[:2]
    looked = service.get(f"{URL}/{number}/assignments/{unit}", role="DEVELOPER").json()
    assert (looked["group"], looked["reason"]) == (None, "not_listed")
    told = service.post("/ofrep/v1/evaluate/flags/mail", {"context": {"targetingKey": unit}}).json()
    assert (told["variant"], told["reason"], told["value"], told["metadata"]["outside"]) == ("", "DEFAULT", "control", "not_listed")
    decided = service.get(f"/api/v1/assign/mail/{unit}").json()
    assert (decided["variant"], decided["outside"]) == (None, "not_listed")
    exposed = service.post(f"{URL}/{number}/exposures", {"exposures": [{"profile_id": unit}]}).json()
    assert (exposed["recorded"], exposed["lazy_assigned"], exposed["control_exposures"]) == (1, 0, 0)
    assert groups(service) == {}
    service.post(f"{URL}/{number}/assign", {"profile_ids": list(strata)})
    for one in (unit, other):
        group, _ = groups(service)[one]
        assert service.get(f"{URL}/{number}/assignments/{one}", role="DEVELOPER").json()["group"] == group
        told = service.post("/ofrep/v1/evaluate/flags/mail", {"context": {"targetingKey": one}}).json()
        assert (told["variant"], told["reason"]) == (group, "SPLIT")


def test_a_list_drawn_elsewhere_keeps_its_groups_and_has_strata(stored_service):
    """`fairtrial assign` writes such a file; the blocks of those without a group go on after it."""
    service = stored_service
    strata = people(service, n=400)
    number = begin(service)
    names = list(strata)
    lines = [json.dumps({"profile_id": one, "group": "control" if i % 2 else "treatment"}) for i, one in enumerate(names[:100])]
    lines += [json.dumps(one) for one in names[100:]]
    body = service.call(
        "POST", f"{URL}/{number}/assign/upload", content="\n".join(lines).encode(), headers={"content-type": "application/x-ndjson"}
    ).json()
    assert (body["assigned"], body["new"], body["bad"]) == (400, 400, 0)
    stored = groups(service)
    assert [stored[one][0] for one in names[:100]] == ["control" if i % 2 else "treatment" for i in range(100)]
    assert all(stratum for _, stratum in stored.values())
    assert sum(body["strata"]["de / false"].values()) == sum(stratum == "de / false" for _, stratum in stored.values())


def test_two_lists_at_once_are_one_after_the_other(stored_service):
    service = stored_service
    strata = people(service, n=1_000)
    number = begin(service)
    names = list(strata)
    parts = [names[i::4] for i in range(4)]
    workers = [threading.Thread(target=service.post, args=(f"{URL}/{number}/assign", {"profile_ids": part})) for part in parts]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    body = service.post(f"{URL}/{number}/assign", {"profile_ids": names}).json()
    assert (body["new"], body["existing"]) == (0, 1_000)
    for stratum, counts in body["strata"].items():
        assert abs(counts.get("treatment", 0) - 0.6 * sum(counts.values())) < 5, stratum


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"assignment": {"method": "stratified_blocks", "strata": ["age"]}}, "attribute of profiles, 'age' is none"),
        ({"metrics": [{"key": "converted", "kind": "proportion", "covariate": "ltv"}]}, "takes no covariate"),
        ({"metrics": [{"key": "converted", "kind": "proportion", "test": "exact"}]}, "has the test 'exact'"),
        (
            {
                "plan": {"sample_size": 3000, "method": "always_valid", "always_valid": {"sequence": "bernoulli"}},
                "metrics": SPEC["metrics"][:1],
            },
            "bernoulli counts units",
        ),
        ({"arms": ["control", "treatment"], "allocation": "adaptive"}, "fixed shares"),
    ],
)
def test_what_blocks_cannot_do_is_refused_at_the_start(service, change, says):
    """XC-30: what is declared is executed or rejected."""
    answer = service.post(URL, {"spec": {**SPEC, **change}})
    assert answer.status_code == 422, answer.text
    assert says in answer.text


def test_a_form_names_its_strata(service):
    answer = service.post("/api/experiments", {**HOLDOUT, "assignment_method": "stratified_blocks"})
    assert answer.status_code == 422
    assert "strata belong to stratified_blocks" in answer.text
    assert service.post("/api/experiments", {**HOLDOUT, "strata": ["land"]}).status_code == 422


def test_units_of_blocks_keep_their_groups_and_shares(service):
    strata = people(service, n=200)
    number = begin(service)
    service.post(f"{URL}/{number}/assign", {"profile_ids": list(strata)[:100]})
    for asked in ({"force_reassign": True}, {"treatment_rate": 0.5}, {"treatment_rate": 0.5, "force_reassign": True}):
        assert service.post(f"{URL}/{number}/assign", {"profile_ids": list(strata), **asked}).status_code == 409
    service.post(f"{URL}/{number}/status", {"status": "running"})
    arms = [{"key": "control", "allocation": 0.5}, {"key": "treatment", "allocation": 0.5}]
    for change, code in (({"arms": arms}, 409), ({"assignment": {"strata": ["land"]}}, 409)):
        answer = service.post(f"{URL}/{number}/versions", {"spec": {**SPEC, **change}, "reason": "why not"})
        assert answer.status_code == code, answer.text
    assert len(groups(service)) == 100


def test_a_duplicate_assigns_in_blocks_too(service):
    service.post("/api/experiments", FORM)
    assert service.post("/api/experiments/1/duplicate", {"name": "Again"}).status_code == 201
    assert service.get("/api/experiments/2").json()["setup"]["strata"] == ["land", "new"]


def cell(control, treatment):
    return {"control": ArmCounts(n=control), "treatment": ArmCounts(n=treatment)}


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_thin_strata_are_joined_until_none_is_thin(sizes):
    found = joined([cell(*pair) for pair in sizes])
    assert len(found.cells) == len(sizes) - found.merged
    for place, arm in enumerate(("control", "treatment")):
        assert sum(one[arm].n for one in found.cells) == sum(pair[place] for pair in sizes)
    assert len(found.cells) == 1 or min(one[arm].n for one in found.cells for arm in one) >= 2
    if all(min(pair) >= 2 for pair in sizes):
        assert found.merged == 0


def test_few_units_are_compared_as_they_are(service):
    """Before each stratum has two units in every arm, strata are joined; with one left, the plain test says what it can."""
    strata = people(service, n=30)
    number = begin(service)
    service.post(f"{URL}/{number}/status", {"status": "running"})
    service.post(f"{URL}/{number}/assign", {"profile_ids": list(strata)[:6]})
    card = service.get(f"{URL}/{number}/scorecard").json()
    assert any("too few units in the strata" in note for note in card["intake"]["notes"])
