"""The command line as a whole: what it loads, what it returns, what it says when something is wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.command import exit_code, load
from pytest_dynperf.command.main import main
from pytest_dynperf.errors import EndpointError

if TYPE_CHECKING:
    import argparse

ROOT = Path(__file__).parents[3]
HEAVY = {"asyncio", "httpx", "numpy", "scipy", "jinja2", "msgspec", "pytest", "tokenizers", "uvloop", "importlib.metadata"}
HELP = """
import json, sys
sys.path.insert(0, sys.argv[1])
from pytest_dynperf.command.main import main
code = main(["--help"])
print(json.dumps([code, sorted(sys.modules)]))
"""


def modules_after_help(root: Path) -> set[str]:
    done = subprocess.run([sys.executable, "-c", HELP, str(root)], capture_output=True, text=True, check=True, timeout=60)
    assert "usage: dynperf" in done.stdout
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    return set(modules)


def test_help_loads_nothing_heavy() -> None:
    assert modules_after_help(ROOT) & HEAVY == set()


def test_a_heavy_import_would_be_found(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "pytest_dynperf", tmp_path / "pytest_dynperf", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "pytest_dynperf" / "command" / "load.py").open("a") as file:
        file.write("import pytest_dynperf.session.load_once\n")
    assert modules_after_help(tmp_path) & HEAVY


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    name, version = capsys.readouterr().out.split()
    assert name == "dynperf"
    assert version[0].isdigit()


@pytest.mark.parametrize("argv", [[], ["lode"], ["load"], ["load", "http://x", "--concurrencyy", "1"], ["load", "http://x", "--conc", "1"]])
def test_a_wrong_usage_is_explained_with_exit_code_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == exit_code.USAGE
    assert "usage: dynperf" in capsys.readouterr().err


def test_what_the_tree_of_errors_says_is_said_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_arguments: argparse.Namespace) -> int:
        msg = "nothing listens there"
        raise EndpointError(msg)

    monkeypatch.setattr(load, "run", refuse)
    assert main(["load", "http://x"]) == exit_code.USAGE
    assert capsys.readouterr().err == "dynperf: error: nothing listens there\n"


def test_ctrl_c_before_anything_was_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(_arguments: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(load, "run", interrupted)
    assert main(["load", "http://x"]) == exit_code.INTERRUPTED
    assert capsys.readouterr().err == ""


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    reading = subprocess.Popen(
        [sys.executable, "-m", "pytest_dynperf", "load", "http://x", "--isl", "9", "--osl", "9", "--concurrency", "1", "--plan"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert reading.stdout is not None
    assert reading.stderr is not None
    reading.stdout.close()
    said = reading.stderr.read()
    reading.stderr.close()
    assert (reading.wait(60), said) == (exit_code.BROKEN_PIPE, b"")
