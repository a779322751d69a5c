"""Rules of the house that a machine can hold: sizes, public names, a light import."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import fairtrial

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "fairtrial"
MODULES = sorted(SOURCE.rglob("*.py"))
LONGEST = 500


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_has_one_idea_and_says_it(module: Path):
    text = module.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST, "split it by idea"
    assert ast.get_docstring(ast.parse(text)), "a module begins by saying what it is"
    assert module.stem not in {"utils", "helpers", "common"}


def test_every_public_name_can_be_had():
    """STYLE: the root's __all__ is tested."""
    assert [name for name in fairtrial.__all__ if getattr(fairtrial, name, None) is None] == []
    assert set(dir(fairtrial)) == set(fairtrial.__all__)
    with pytest.raises(AttributeError, match="no attribute 'analyse'"):
        _ = fairtrial.analyse


def test_importing_the_package_loads_nothing_heavy():
    """DESIGN 4: heavy libraries load where they are used."""
    heavy = "{'pandas', 'ibis', 'duckdb', 'scipy', 'pyarrow', 'pydantic', 'rich', 'altair', 'jinja2'}"
    code = f"import sys, fairtrial; loaded = {heavy} & set(sys.modules); assert not loaded, loaded"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_pure_floors_load_no_engine():
    """DESIGN 4: floors 0-4 do no I/O."""
    heavy = "{'pandas', 'ibis', 'duckdb', 'pyarrow', 'rich'}"
    code = f"import sys, fairtrial.evaluation; loaded = {heavy} & set(sys.modules); assert not loaded, loaded"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_commitable_text_stays_free_of_machine_paths():
    machine = ("/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/")
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    broken = []
    for name in listed.splitlines():
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".yaml", ".yml", ".html", ".j2", ".ipynb"} and path.is_file():
            text = path.read_text(encoding="utf-8")
            broken += [f"{name}: {place}" for place in machine if place in text]
    assert broken == []


def test_no_name_of_a_package_that_loads_lazily_is_a_module_of_it():
    """An imported module becomes the package's attribute, and would hide a function of its name."""
    for package in ("fairtrial", "fairtrial.analysis"):
        found = import_module(package)
        modules = {path.stem for path in Path(found.__file__).parent.iterdir()}
        assert not set(found.__all__) & modules, package
