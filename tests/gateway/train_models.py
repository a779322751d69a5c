"""Train two classifiers on data that scikit-learn ships, and lay them out for two MLServers. Runs in the environment of the models.

    python train_models.py FOLDER CHAMPION_PORTS CHALLENGER_PORTS     (ports: http,grpc,metrics)

The champion is a logistic regression, the challenger the same with another penalty: close, not equal. Also writes
`rows.json`, the rows to ask about.
"""

import json
import sys
from pathlib import Path

import joblib
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main():
    folder, *ports = sys.argv[1:]
    data = load_breast_cancer()
    for name, penalty, listed in zip(("champion", "challenger"), (1.0, 0.8), ports, strict=True):
        place = Path(folder) / name
        (place / "fraud").mkdir(parents=True)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=1000)).fit(data.data, data.target)
        joblib.dump(model, place / "fraud" / "model.joblib")
        http, grpc, metrics = (int(port) for port in listed.split(","))
        settings = {"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics, "parallel_workers": 0}
        (place / "settings.json").write_text(json.dumps(settings))
        model_settings = {"name": "fraud", "implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": "./model.joblib"}}
        (place / "fraud" / "model-settings.json").write_text(json.dumps(model_settings))
    Path(folder, "rows.json").write_text(json.dumps(data.data.tolist()))


if __name__ == "__main__":
    main()
