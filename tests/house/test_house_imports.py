"""What a pytest run that never heard of this plugin pays: the modules that it imports are gated, not a time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("httpx", "numpy", "scipy", "jinja2", "docker", "pynvml", "tokenizers", "msgspec", "uvloop", "httptools", "psutil")
ALLOWED = ("pytest_dynperf", "pytest_dynperf.errors", "pytest_dynperf.hookspecs", "pytest_dynperf.plugin")

CONFTEST = """
import json, pathlib, sys

def pytest_unconfigure(config):
    pathlib.Path(__file__).with_name("modules.json").write_text(json.dumps(sorted(sys.modules)))
"""
STRICT = "[pytest]\nfilterwarnings = error\naddopts = --strict-markers --strict-config\n"


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A project of somebody else, with the strictest settings that pytest has."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "pytest.ini").write_text(STRICT)
    (project / "conftest.py").write_text(CONFTEST)
    (project / "test_theirs.py").write_text("def test_theirs(tmp_path):\n    assert tmp_path.is_dir()\n")
    return project


def imported(project: Path, *arguments: str, ahead_of_ours: Path | None = None) -> set[str]:
    """Modules at the end of a pytest run in ``project``, in which nothing was said on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=project,
        env={name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_", "PYTHONPATH"))}
        | ({"PYTHONPATH": str(ahead_of_ours)} if ahead_of_ours else {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert "warning" not in done.stdout
    assert done.stderr == ""
    return set(json.loads((project / "modules.json").read_text()))


def because_of_us(project: Path, *, ahead_of_ours: Path | None = None) -> set[str]:
    """What a run with the plugin imports, and one without it does not."""
    loaded = imported(project, ahead_of_ours=ahead_of_ours) - imported(project, "-p", "no:dynperf", ahead_of_ours=ahead_of_ours)
    assert "pytest_dynperf.plugin" in loaded, "the plugin was not loaded at all: nothing was compared"
    return loaded


def flaws(loaded: set[str]) -> list[str]:
    """What of ``loaded`` does not belong into the start of a foreign pytest run."""
    ours = [name for name in loaded if name.partition(".")[0] == "pytest_dynperf"]
    strangers = [name for name in ours if name not in ALLOWED and not name.startswith("pytest_dynperf.plugin.")]
    return sorted(strangers) + sorted(name for name in loaded if name.partition(".")[0] in HEAVY)


def test_a_foreign_run_imports_the_plugin_and_nothing_heavy(foreign: Path) -> None:
    assert flaws(because_of_us(foreign)) == []


def test_outside_of_the_standard_library_nothing_but_ours_is_imported(foreign: Path) -> None:
    foreigners = {name.partition(".")[0] for name in because_of_us(foreign)} - {"pytest_dynperf"} - sys.stdlib_module_names
    assert foreigners == set()


@pytest.mark.parametrize(
    ("file", "defect", "found"),
    [
        pytest.param("plugin/state.py", "import msgspec", "msgspec", id="a library"),
        pytest.param("plugin/__init__.py", "import pytest_dynperf.session.conduct", "scipy", id="the conduct, and with it everything"),
        pytest.param("__init__.py", "from pytest_dynperf.quantity import Absent", "pytest_dynperf.quantity", id="a public name"),
    ],
)
def test_an_eager_import_is_found(foreign: Path, tmp_path: Path, file: str, defect: str, found: str) -> None:
    """Planted in a copy of the package that stands before ours on the path."""
    ahead = tmp_path / "ahead"
    shutil.copytree(ROOT / "pytest_dynperf", ahead / "pytest_dynperf", ignore=shutil.ignore_patterns("__pycache__"))
    path = ahead / "pytest_dynperf" / file
    path.write_text(path.read_text(encoding="utf-8") + f"\n{defect}\n", encoding="utf-8")
    assert found in flaws(because_of_us(foreign, ahead_of_ours=ahead))


def test_every_public_name_can_be_had() -> None:
    """The price of laziness: a name that is resolved on first use is only known to exist when it is used."""
    import pytest_dynperf

    assert pytest_dynperf.__all__ == sorted(pytest_dynperf.__all__)
    for name in pytest_dynperf.__all__:
        assert getattr(pytest_dynperf, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pytest_dynperf.nothing
