"""Install a wheel into a fresh environment and run the demo from it, outside the checkout: `python tests/run_wheel.py WHEEL`."""

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main(wheel: Path) -> None:
    """Fail loudly unless the installed wheel runs the demo."""
    uv = ROOT / ".venv" / "bin" / "uv"
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        venv.create(place / "venv", with_pip=False)
        python = place / "venv" / "bin" / "python"
        subprocess.run(
            [uv, "pip", "install", "--quiet", "--python", python, "--constraint", _constraints(place), wheel.resolve()], check=True
        )
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        program = place / "venv" / "bin" / "fairtrial"
        done = subprocess.run([program, "quickstart", "--json"], cwd=place, env=environment, capture_output=True, text=True, check=True)
        result = json.loads(done.stdout)
        report = place / result["report"]
        verdict = result["scorecard"]["decision"]["verdict"]
        print(f"{wheel.name}: verdict {verdict}, report of {report.stat().st_size:,} bytes")


def _constraints(place: Path) -> Path:
    """The lock's versions without its hashes, so that the wheel meets what was tested."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line.rstrip(" \\") for line in lines if "==" in line and not line.startswith((" ", "#"))]
    path = place / "constraints.txt"
    path.write_text("\n".join(pins) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    main(Path(sys.argv[1]))
