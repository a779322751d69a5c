"""The gateway under load, against nginx's plain proxy_pass in front of the same model server.

python benchmarks/gateway.py                                  # a model server that costs nothing: nginx with a fixed answer
python benchmarks/gateway.py --seconds 8 --connections 16
python benchmarks/gateway.py --model http://127.0.0.1:8081 --v2-model iris   # a model server of your own, such as MLServer

Everything runs on this machine: the driver (wrk, one thread), nginx as the model server, nginx as the plain proxy (one worker),
and the real program `fairtrial gateway` with one worker, its log on disk and its database in SQLite. The added latency is
the median through a proxy minus the median of asking the model server directly, on one connection and under load. A figure of the gateway
is printed only when every request was answered with 200 and stands in the log and in the database.

Needs nginx and wrk (Debian: nginx-light, wrk).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from harness import machine

PROGRAM = Path(sys.executable).parent / "fairtrial"
NAME = "bench"
ANSWER = '{"model_name":"m","outputs":[{"name":"predict","shape":[1],"datatype":"FP64","data":[0.83]}]}'
BODY = '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[5.1,3.5,1.4,0.2]}]}'
SCRIPT = """
local users = {}
function init(args)
  for i = 1, 5000 do users[i] = wrk.format("POST", "%s", {["Content-Type"]="application/json", ["X-User-Id"]="user_"..i}, '%s') end
end
local at = 0
request = function() at = at %% 5000 + 1; return users[at] end
"""
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def nginx(folder: Path, model: int, proxy: int, target: str) -> Iterator[None]:
    """A model server with a fixed answer and a plain proxy before `target`, one worker each."""
    (folder / "nginx.conf").write_text(
        f"""
        worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
        events {{ worker_connections 1024; }}
        http {{
          access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
          uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e; keepalive_requests 100000000;
          upstream models {{ server {target}; keepalive 64; keepalive_requests 100000000; }}
          server {{ listen 127.0.0.1:{model}; location / {{ default_type application/json; return 200 '{ANSWER}'; }} }}
          server {{ listen 127.0.0.1:{proxy}; location / {{ proxy_pass http://models; proxy_http_version 1.1;
            proxy_set_header Connection ""; }} }}
        }}
        """
    )
    process = subprocess.Popen(["nginx", "-p", folder, "-c", folder / "nginx.conf"])
    try:
        wait_for(model)
        yield
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def gateway(folder: Path, url: str, model: str, share: float, mirrored: float) -> Iterator[int]:
    port = free_port()
    stages = [{"name": "canary", "kind": "canary", "share": share, "gate": "approval"}]
    spec = {
        "name": NAME,
        "champion_model": "v1",
        "challenger_models": ["v2"],
        "traffic_allocation": {"v1": 0.95, "v2": 0.05},
        "primary_metric": "conversion_rate",
        "secondary_metrics": [],
        "guardrail_metrics": {"p95_latency_ms": [0, 200], "error_rate": [0, 0.01]},
        "min_sample_size": 1000,
        "max_duration_days": 14,
        "serving": {
            "models": {name: {"url": url, "model": model} for name in ("v1", "v2")},
            "shadow": {"share": mirrored},
            "rollout": {"stages": stages},
        },
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    command = [PROGRAM, "gateway", "spec.json", "--port", str(port), "--database", "sqlite:///gateway.db"]
    with (folder / "gateway.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            wait_for(port, process)
            yield port
        finally:
            process.terminate()
            process.wait(60)


def wait_for(port: int, process: subprocess.Popen[bytes] | None = None) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if process is not None and process.poll() is not None:
            raise SystemExit(f"the gateway ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise SystemExit("nobody listens")


def load(folder: Path, address: str, path: str, connections: int, seconds: int) -> dict[str, float]:
    (folder / "post.lua").write_text(SCRIPT % (path, BODY))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency", "-s", folder / "post.lua", address]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        why = folder.joinpath("error.log").read_text()[-600:] if folder.joinpath("error.log").exists() else ""
        raise SystemExit(f"not every request was answered:\n{said}{why}")
    tails = {found[1]: float(found[2]) * UNITS[found[3]] for found in re.finditer(r"(50|99)%\s+([\d.]+)(us|ms|s|m)\b", said)}
    return {
        "p50": tails["50"],
        "p99": tails["99"],
        "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]),  # type: ignore[index]
        "requests": float(re.search(r"(\d+) requests in", said)[1]),  # type: ignore[index]
    }


def both(folder: Path, address: str, path: str, options: argparse.Namespace) -> tuple[dict[str, float], dict[str, float]]:
    """On one connection, then under load."""
    load(folder, address, path, options.connections, 1)  # connections and caches
    return load(folder, address, path, 1, options.seconds), load(folder, address, path, options.connections, options.seconds)


def kept(folder: Path) -> tuple[int, int, int]:
    """Lines of the log, rows of the database, mirrored requests in the database."""
    lines = sum(1 for file in (folder / "experiment_logs").glob("*.ndjson") for _ in file.open("rb"))
    with contextlib.closing(sqlite3.connect(folder / "gateway.db")) as database:
        rows = database.execute("SELECT count(*) FROM experiment_logs").fetchone()[0]
        return lines, rows, database.execute("SELECT count(*) FROM shadow_logs").fetchone()[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--model", help="address of a model server of your own")
    parser.add_argument("--v2-model", default="m", help="name of its V2 model")
    options = parser.parse_args()
    for needed in ("nginx", "wrk"):
        if shutil.which(needed) is None:
            raise SystemExit(f"this benchmark needs {needed} (Debian: nginx-light, wrk)")
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        model, proxy = free_port(), free_port()
        url = options.model or f"http://127.0.0.1:{model}"
        path = f"/v2/models/{options.v2_model}/infer"
        with nginx(folder, model, proxy, httpx.URL(url).netloc.decode()):
            rows = {
                "directly": both(folder, url, path, options),
                "nginx proxy_pass": both(folder, f"http://127.0.0.1:{proxy}", path, options),
            }
            for title, share, mirrored in (("gateway, shadow off", 0.05, 0.0), ("gateway, 10 % mirrored", 0.05, 0.1)):
                place = folder / title.split()[-1]
                place.mkdir()
                with gateway(place, url, options.v2_model, share, mirrored) as port:
                    address = f"http://127.0.0.1:{port}"
                    before = httpx.get(f"{address}/status").json()["counts"]["requests"]
                    rows[title] = both(place, address, f"/v2/models/{NAME}/infer", options)
                    counts = httpx.get(f"{address}/status").json()["counts"]
                lines, stored, shadowed = kept(place)
                if not lines == stored == counts["requests"] - before or counts["unlogged"] or counts["fallbacks"]:
                    raise SystemExit(f"{title}: {counts}, but {lines} lines and {stored} rows")
                print(f"{title}: {lines} predictions logged and stored, {shadowed} comparisons")
    show(rows)


def show(rows: dict[str, tuple[dict[str, float], dict[str, float]]]) -> None:
    direct, plain = rows["directly"], rows["nginx proxy_pass"]
    print("| through | p50 ms | added p50 | p99 ms | a second | p50 under load | p99 under load | x nginx |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for title, (one, many) in rows.items():
        added = one["p50"] - direct[0]["p50"]
        ratio = many["rate"] / plain[1]["rate"]
        cells = (
            f"{one['p50']:.3f}",
            f"{added:.3f}",
            f"{one['p99']:.2f}",
            f"{many['rate']:,.0f}",
            f"{many['p50']:.2f}",
            f"{many['p99']:.2f}",
        )
        print(f"| {title} | {' | '.join(cells)} | {ratio:.3f} |")


if __name__ == "__main__":
    main()
