"""`fairtrial spillover` from a spec, a table of neighbours or of clusters, against the same test on arrays (IN-13)."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from fairtrial import load_spec
from fairtrial.analysis.interactions import Located
from fairtrial.analysis.spillover import analyze_spillover
from fairtrial.diagnostics.spillover import find_spillover, neighbours_of_clusters, neighbours_of_edges
from fairtrial.errors import DataError, UnknownNameError, UsageError

UNITS = 3_000


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    """Units with names that sort otherwise than their numbers; edges that name strangers; spillover by friends."""
    folder = tmp_path_factory.mktemp("chat")
    rng = np.random.default_rng(8)
    names = np.array(sorted(f"ü{n}" for n in range(UNITS)))
    edges = rng.integers(0, UNITS, (9_000, 2))
    treated = rng.random(UNITS) < 0.5
    near = neighbours_of_edges(edges, UNITS)
    degree = np.asarray(near.sum(axis=1)).ravel()
    dose = np.divide(near @ treated.astype(float), degree, out=np.zeros(UNITS), where=degree > 0)
    y = rng.normal(size=UNITS) + 0.3 * treated + 1.5 * dose
    frame = pd.DataFrame({"unit": names, "arm": np.where(treated, "treatment", "control"), "y": y})
    frame.sample(frac=1.0, random_state=1).to_parquet(folder / "units.parquet")
    listed = pd.DataFrame({"unit": names[edges[:, 0]], "neighbour": names[edges[:, 1]]})
    pd.concat([listed, pd.DataFrame({"unit": [names[0]], "neighbour": ["nobody"]})]).to_csv(folder / "friends.csv", index=False)
    clusters = pd.DataFrame({"unit": names, "cluster": np.arange(UNITS) % 300})
    clusters.head(UNITS - 300).to_parquet(folder / "clusters.parquet")
    (folder / "chat.yaml").write_text(
        "key: chat\narms: [control, treatment]\nmetrics: [{key: y, kind: mean}]\ndata: {source: units.parquet, unit: unit}\n",
        encoding="utf-8",
    )
    return folder, y, treated, near


def test_a_network_is_joined_to_the_right_units(chat):
    folder, y, treated, near = chat
    one = Located(spec=load_spec(folder / "chat.yaml").spec, base=folder)
    found = analyze_spillover(one, network="friends.csv", base=folder, seed=5, draws=299)
    assert found == find_spillover(y, treated, near, rng=np.random.default_rng(5), draws=299)
    assert found.has_spillover is True
    by_cluster = analyze_spillover(one, clusters="clusters.parquet", base=folder, seed=5, draws=299)
    labels = np.where(np.arange(UNITS) < UNITS - 300, np.arange(UNITS) % 300, -1)
    assert by_cluster == find_spillover(y, treated, neighbours_of_clusters(labels), rng=np.random.default_rng(5), draws=299)


def test_the_verb_in_words_and_as_data(chat, run):
    folder = chat[0]
    code, text, _ = run("spillover", folder / "chat.yaml", "--network", folder / "friends.csv", "--draws", 299)
    assert code == 0
    assert "Controls feel their neighbours' treatment" in text
    code, text, talk = run("spillover", folder / "chat.yaml", "--network", folder / "friends.csv", "--draws", 299, "--json")
    found = json.loads(text)["spillover_result"]
    assert (code, talk, found["has_spillover"], len(found["doses"])) == (0, "", True, 5)


def test_wrong_neighbours_are_refused(chat):
    folder = chat[0]
    one = Located(spec=load_spec(folder / "chat.yaml").spec, base=folder)
    with pytest.raises(UsageError, match="name one of the two"):
        analyze_spillover(one)
    with pytest.raises(UnknownNameError, match="neighbour"):
        analyze_spillover(one, network="clusters.parquet", base=folder)
    frame = pd.read_parquet(folder / "clusters.parquet")
    pd.concat([frame, frame.head(1)]).to_parquet(folder / "twice.parquet")
    with pytest.raises(DataError, match="one cluster"):
        analyze_spillover(one, clusters="twice.parquet", base=folder)
