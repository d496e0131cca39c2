"""A whole installation with a package that is made here: what counts as installed, and what does not. No network."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import InstallationError, UsageError
from pytest_dynperf.installation.environment import (
    BUILT,
    OWNED,
    Runner,
    _run,
    build,
    check_machine,
    finish,
    log_path,
    packages_directory,
)
from pytest_dynperf.installation.found import MARKER, environment_directory, found, found_recipe
from pytest_dynperf.installation.install import complete, install, plan_lines
from pytest_dynperf.installation.inventory import environments, lock_path, remove
from pytest_dynperf.installation.logged_process import Account
from pytest_dynperf.installation.recipe import Part, Recipe, Step
from pytest_dynperf.installation.turn import turn

if TYPE_CHECKING:
    from collections.abc import Iterator

PYTHON = Path(sys.executable)
QUIET = Account(lambda _: None)
THING = Step(about="the thing", install=("thing==1.0",), dependencies=False)
RECIPE = Recipe(
    name="small",
    about="a small one",
    parts=(Part(name="engine", about="a thing", steps=(THING,), record=("thing",), verify=("thing",), program="thing"),),
    pythons=("3.11", "3.12", "3.13"),
    machines=("x86_64", "aarch64"),
    disk_bytes=1000,
)


def wheel(directory: Path) -> None:
    information = "thing-1.0.dist-info"
    with zipfile.ZipFile(directory / "thing-1.0-py3-none-any.whl", "w") as file:
        file.writestr("thing.py", "def main():\n    print('a thing')\n")
        file.writestr(f"{information}/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        file.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nGenerator: here\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{information}/entry_points.txt", "[console_scripts]\nthing = thing:main\n")
        file.writestr(f"{information}/RECORD", "")


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """pip finds the thing, and asks no index."""
    wheels = tmp_path_factory.mktemp("wheels")
    wheel(wheels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(wheels))
        patch.setenv("PIP_TARGET", str(wheels / "elsewhere"))
        yield wheels


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, offline: Path, said: list[str]) -> Path:
    """A cache directory with the recipe installed, over what an interrupted installation had left."""
    directory = tmp_path_factory.mktemp("cache")
    unfinished = environment_directory(RECIPE, directory)
    (unfinished / "engine").mkdir(parents=True)
    (unfinished / OWNED).write_text("small\n", encoding="utf-8")
    assert found_recipe(RECIPE, directory) is None
    assert [each.state for each in environments(directory)] == ["unfinished"]
    install(RECIPE, directory, PYTHON, Account(said.append))
    return directory


def test_what_was_installed_is_found_and_works(cache: Path, said: list[str]) -> None:
    installed = found_recipe(RECIPE, cache)
    assert installed is not None
    assert (installed.versions, installed.digest, installed.model) == ({"thing": "1.0"}, RECIPE.digest, None)
    assert installed.lmcache is not None
    assert subprocess.run([installed.lmcache], capture_output=True, text=True, check=True).stdout == "a thing\n"
    assert any("removing what an earlier installation left unfinished" in line for line in said)
    assert any("1/1 the thing" in line for line in said)
    assert (packages_directory(installed.python.parents[1]) / "thing.py").is_file(), "PIP_TARGET sends nothing elsewhere"


def test_all_of_it_is_listed_and_nothing_is_made_again(cache: Path) -> None:
    (only,) = environments(cache)
    assert (only.name, only.state, only.versions, only.current) == ("small", "installed", {"engine": {"thing": "1.0"}}, False)
    assert complete(RECIPE, cache)
    before = (only.directory / MARKER).stat().st_mtime_ns
    install(RECIPE, cache, Path("/bin/false"), QUIET)
    assert (only.directory / MARKER).stat().st_mtime_ns == before
    assert plan_lines(RECIPE, cache, PYTHON)[-1] == f"installed already: {only.directory}"


def test_a_changed_recipe_is_not_found(cache: Path) -> None:
    assert found_recipe(replace(RECIPE, parts=(replace(RECIPE.parts[0], record=()),)), cache) is None


@pytest.mark.parametrize("name", [BUILT, ""])
def test_without_its_last_marker_it_does_not_count(cache: Path, name: str) -> None:
    marker = environment_directory(RECIPE, cache) / MARKER
    aside = marker.with_name(name or "aside.json")
    marker.rename(aside)
    try:
        assert found_recipe(RECIPE, cache) is None
        assert [each.state for each in environments(cache)] == ["untried" if name else "unfinished"]
        if name:
            build(RECIPE, cache, Path("/bin/false"), QUIET, ())
            finish(marker.parent)
            assert found_recipe(RECIPE, cache) is not None
    finally:
        if aside.exists():
            aside.rename(marker)


@pytest.mark.parametrize("change", ["torn", "another schema", "no interpreter"])
def test_a_broken_environment_does_not_count(cache: Path, tmp_path: Path, change: str) -> None:
    directory = environment_directory(RECIPE, tmp_path)
    directory.mkdir(parents=True)
    document = json.loads((environment_directory(RECIPE, cache) / MARKER).read_bytes())
    if change != "no interpreter":
        for program in ("python", "thing"):
            (directory / "engine" / "bin").mkdir(parents=True, exist_ok=True)
            (directory / "engine" / "bin" / program).touch()
    whole = json.dumps(document)
    (directory / MARKER).write_text(whole, encoding="utf-8")
    assert (found_recipe(RECIPE, tmp_path) is None) == (change == "no interpreter")
    text = {"torn": whole[:20], "another schema": json.dumps(document | {"schema": 99})}.get(change, whole)
    (directory / MARKER).write_text(text, encoding="utf-8")
    assert found_recipe(RECIPE, tmp_path) is None


def test_pip_that_fails_is_quoted_with_what_to_do(cache: Path, tmp_path: Path) -> None:
    runner = Runner(account=QUIET, log=tmp_path / "log", keep=())
    (tmp_path / "log").touch()
    step = Step(about="", install=("a-thing-that-is-nowhere==9",), index="http://127.0.0.1:9/simple")
    told: list[str] = []
    with pytest.raises(InstallationError, match="pip could not install a-thing-that-is-nowhere==9") as caught:
        _run(step, environment_directory(RECIPE, cache) / "engine", replace(runner, account=Account(told.append)))
    assert "No matching distribution found" in str(caught.value)
    assert "no index has this version" in str(caught.value)
    assert str(tmp_path / "log") in str(caught.value)
    assert any("asking http://127.0.0.1:9/simple as well" in line for line in told)


def test_what_fails_leaves_nothing_but_its_log(tmp_path: Path) -> None:
    directory = environment_directory(RECIPE, tmp_path)
    with pytest.raises(InstallationError, match="no environment could be made with /bin/false"):
        build(RECIPE, tmp_path, Path("/bin/false"), QUIET, ())
    assert not directory.exists()
    assert log_path(directory).is_file()


def test_what_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(text: str) -> None:
        if "a thing" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(RECIPE, tmp_path, PYTHON, Account(interrupt), ())
    assert not environment_directory(RECIPE, tmp_path).exists()


def test_a_machine_that_cannot_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"needs Python 2\.7.*name one with --python"):
        check_machine(replace(RECIPE, pythons=("2.7",)), PYTHON, tmp_path)
    with pytest.raises(UsageError, match="no Python interpreter that starts"):
        check_machine(RECIPE, Path("/bin/false"), tmp_path)
    with pytest.raises(UsageError, match="on Linux on riscv64"):
        check_machine(replace(RECIPE, machines=("riscv64",)), PYTHON, tmp_path)
    with pytest.raises(InstallationError, match=r"needs 1000000\.0 GB .* make room, or name another disk with XDG_CACHE_HOME"):
        check_machine(replace(RECIPE, disk_bytes=10**15), PYTHON, tmp_path)


def test_a_variable_names_another_environment_which_must_have_what_is_pinned(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = environment_directory(RECIPE, cache) / "engine" / "bin" / "python"
    monkeypatch.setenv("DYNPERF_ENGINE_SMALL", str(python))
    monkeypatch.setenv("DYNPERF_ENGINE_SMALL_LMCACHE", "/opt/lmcache")
    installed = found_recipe(RECIPE, Path("/nowhere"))
    assert installed is not None
    assert (installed.python, installed.lmcache, installed.versions) == (python, Path("/opt/lmcache"), {"thing": "1.0"})
    other = replace(RECIPE, parts=(replace(RECIPE.parts[0], steps=(replace(THING, install=("thing==2.0",)),)),))
    with pytest.raises(UsageError, match=r"thing 2\.0 \(found: 1\.0\)"):
        found_recipe(other, cache)
    monkeypatch.setenv("DYNPERF_ENGINE_CPU", "/bin/false")
    with pytest.raises(UsageError, match="DYNPERF_ENGINE_CPU=/bin/false is no Python interpreter"):
        found("cpu", cache)


def test_it_is_removed_alone_and_not_while_somebody_needs_it(cache: Path) -> None:
    directory = environment_directory(RECIPE, cache)
    foreign = directory.with_name("small-aaaaaaaaaaaa")
    foreign.mkdir()
    with turn(lock_path("small", cache), QUIET), pytest.raises(InstallationError, match="another installer"):
        remove("small", cache, QUIET)
    user = subprocess.Popen([directory / "engine" / "bin" / "python", "-c", "print(flush=True); input()"], stdin=-1, stdout=-1)
    try:
        assert user.stdout is not None
        user.stdout.readline()
        with pytest.raises(InstallationError, match=rf"in use by python.* \(process {user.pid}\)"):
            remove("small", cache, QUIET)
    finally:
        user.communicate(b"\n")
    assert found_recipe(RECIPE, cache) is not None
    assert remove("small", cache, QUIET) == (directory,)
    assert found_recipe(RECIPE, cache) is None
    assert [path.name for path in sorted(directory.parent.iterdir())] == [".small.lock", foreign.name]
    with pytest.raises(UsageError, match="no environment 'small'"):
        remove("small", cache, QUIET)
