"""Makes the environments of a recipe: virtual environments filled by uv or pip, repaired, checked.

They are made where they stay (a virtual environment cannot be moved), and count only when their marker is there: ``built.json`` once every
package is in, ``installed.json`` (the same file, renamed) once a completion has come back. A directory without either is rubbish; the next
installer clears it away. All of it under a lock, which pip holds as well while it runs.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from pytest_dynperf.errors import InstallationError, UsageError
from pytest_dynperf.installation import pip_words
from pytest_dynperf.installation.distributions import python_version, versions_in
from pytest_dynperf.installation.found import MARKER, SCHEMA, environment_directory, read_marker
from pytest_dynperf.installation.logged_process import run_logged, tail
from pytest_dynperf.installation.quick import put_away, uv_for
from pytest_dynperf.installation.recipe import GB
from pytest_dynperf.installation.repair import repair
from pytest_dynperf.run_directory import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_dynperf.installation.logged_process import Account
    from pytest_dynperf.installation.quick import Uv
    from pytest_dynperf.installation.recipe import Part, Recipe, Step

BUILT = "built.json"
OWNED = ".dynperf-environment"
"""In every directory that was made here; nothing else is ever removed."""

STEP_S = 3600.0
IMPORT_S = 300.0
_LEFT_OUT = frozenset(
    "PIP_TARGET PIP_PREFIX PIP_ROOT PIP_USER PIP_REQUIRE_VIRTUALENV PIP_NO_DEPS PYTHONPATH PYTHONHOME VIRTUAL_ENV".split()  # noqa: SIM905
)
"""Variables that would send packages elsewhere. Indexes, mirrors and certificates of the user's configuration stay."""


def check_machine(recipe: Recipe, python: Path, cache_directory: Path) -> None:
    """Whether ``recipe`` can be made here with ``python``, and there is room; changes nothing.

    :raises UsageError: for another system, machine or Python.
    :raises InstallationError: when there is not enough free space.
    """
    if sys.platform != "linux" or platform.machine() not in recipe.machines:
        msg = (
            f"{recipe.name} can be installed on Linux on {' or '.join(recipe.machines)}, and this is {sys.platform} on {platform.machine()}"
        )
        raise UsageError(msg)
    version = python_version(python)
    if version is None:
        msg = f"{python} is no Python interpreter that starts: --python names one"
        raise UsageError(msg)
    if version not in recipe.pythons:
        wanted, such = " or ".join(recipe.pythons), f"--python python{recipe.pythons[-1]}"
        msg = f"{recipe.name} needs Python {wanted}, and {python} is {version}: name one with --python, such as {such}"
        raise UsageError(msg)
    free = free_bytes(cache_directory)
    if free < recipe.disk_bytes:
        msg = (
            f"{recipe.name} needs {recipe.disk_bytes / GB:.1f} GB while it is made, and {cache_directory} has {free / GB:.1f} GB free: "
            f"make room, or name another disk with XDG_CACHE_HOME"
        )
        raise InstallationError(msg)


def free_bytes(directory: Path) -> int:
    """Free space where ``directory`` is, or will be."""
    existing = next(parent for parent in (directory.resolve(), *directory.resolve().parents) if parent.exists())
    return shutil.disk_usage(existing).free


def build(recipe: Recipe, cache_directory: Path, python: Path, account: Account, keep: tuple[int, ...]) -> Path:
    """Make the environments of ``recipe`` where they are not there complete; their directory. The caller holds the lock.

    What fails or is interrupted is removed; its log stays, and is named.

    :raises InstallationError: with pip's last lines, and what to do.
    """
    directory = environment_directory(recipe, cache_directory)
    if read_marker(directory) is not None or read_marker(directory, BUILT) is not None:
        account.say(f"the environment is there: {directory}")
        return directory
    if directory.exists():
        account.say("removing what an earlier installation left unfinished")
        clear(directory)
    log = log_path(directory)
    began = time.monotonic()
    try:
        directory.mkdir(parents=True)
        (directory / OWNED).write_text(f"{recipe.name}\n", encoding="utf-8")
        log.unlink(missing_ok=True)
        runner = Runner(account=account, log=log, keep=keep)
        runner = replace(runner, uv=uv_for(python, directory, runner.environment(), partial(runner.run, failure=None)))
        versions = {part.name: _make(part, directory, python, runner) for part in recipe.parts}
        seconds = time.monotonic() - began
        put_away(directory)
        marker = _marker(recipe, versions, python, seconds)
        write_atomically(directory / BUILT, json.dumps(marker, indent=1) + "\n")
    except OSError as error:
        clear(directory)
        msg = f"cannot write {directory}: {error.strerror}. Make room, or name another cache directory with XDG_CACHE_HOME"
        raise InstallationError(msg) from error
    except BaseException:
        clear(directory)
        raise
    return directory


def finish(directory: Path) -> None:
    """From now on it counts as installed."""
    if (directory / BUILT).exists():
        (directory / BUILT).replace(directory / MARKER)


def log_path(directory: Path) -> Path:
    """``cpu-0123456789ab.log`` beside the directory of that name: it outlives a failure."""
    return directory.with_name(f"{directory.name}.log")


def clear(directory: Path) -> None:
    """Remove a directory of ours; by its name first, so that what is half removed is never mistaken for the whole."""
    for marker in (MARKER, BUILT):
        (directory / marker).unlink(missing_ok=True)
    shutil.rmtree(directory, ignore_errors=True)


def _marker(recipe: Recipe, versions: dict[str, dict[str, str]], python: Path, seconds: float) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "name": recipe.name,
        "digest": recipe.digest,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": python_version(python),
        "seconds": round(seconds),
        "versions": versions,
        "programs": [f"{part.name}/bin/{part.program}" for part in recipe.parts if part.program],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """What every process of an installation shares: who is told, the log, descriptors that it keeps open; uv, where it is to be had."""

    account: Account
    log: Path
    keep: tuple[int, ...]
    uv: Uv | None = None

    def environment(self) -> dict[str, str]:
        """Ours, without what would send packages elsewhere."""
        return {name: value for name, value in os.environ.items() if name not in _LEFT_OUT and not name.startswith("UV_")}

    def run(self, *argv: str, failure: str | None, limit_s: float = STEP_S, variables: Mapping[str, str] | None = None) -> int:
        """The exit status, which with ``failure`` is 0. ``variables`` are set besides.

        :raises InstallationError: saying ``failure``, the last lines and what to do, when it is not.
        """
        environment = {**self.environment(), **(variables or {})}
        status = run_logged(argv, log=self.log, account=self.account, environment=environment, limit_s=limit_s, keep=self.keep)
        if status and failure is not None:
            output = tail(self.log)
            text = f"{failure}. Its last lines:\n{pip_words.last_words(output)}\nAll of it is in {self.log}"
            remedy = pip_words.meaning(output)
            raise InstallationError(text if remedy is None else f"{text}\nMost likely {remedy}")
        return status


def _make(part: Part, directory: Path, python: Path, runner: Runner) -> dict[str, str]:
    """One virtual environment; the versions that are recorded of it."""
    place = directory / part.name
    say = runner.account.say
    say(f"{part.name}: {part.about}" + (f" (an environment of its own: {part.why})" if part.why else ""))
    runner.run(str(python), "-I", "-m", "venv", str(place), failure=f"no environment could be made with {python}")
    for number, step in enumerate(part.steps, 1):
        say(f"  {number}/{len(part.steps)} {step.about}" + (f": {step.why}" if step.why else ""))
        _run(step, place, runner)
    inner = place / "bin" / "python"
    versions = versions_in(inner, part.record) or {}
    lacking = [name for name in part.record if name not in versions]
    if part.program is not None and not (place / "bin" / part.program).exists():
        lacking.append(f"the program {part.program}")
    if lacking:
        msg = f"{', '.join(lacking)} is not in {place}, although pip has finished; its output is in {runner.log}"
        raise InstallationError(msg)
    if part.verify:
        say(f"  importing {', '.join(part.verify)}")
        program = "".join(f"import {module}\n" for module in part.verify)
        failure = f"what was installed in {place} cannot be imported"
        runner.run(str(inner), "-I", "-c", program, failure=failure, limit_s=IMPORT_S)
    return versions


def _run(step: Step, place: Path, runner: Runner) -> None:
    pip = (str(place / "bin" / "python"), "-I", "-m", "pip", "--disable-pip-version-check", "--no-input")
    if step.install and not (runner.uv is not None and _done_by_uv(step, place, runner, runner.uv)):
        command = (*pip, "install", "--progress-bar", "off", *(() if step.dependencies else ("--no-deps",)), *step.install)
        _install(step, command, runner)
    if step.remove:
        runner.run(*pip, "uninstall", "--yes", *step.remove, failure=f"pip could not remove {', '.join(step.remove)}")
    if step.repair is not None:
        runner.account.say(f"    repaired {repair(step.repair, packages_directory(place))}")


def _install(step: Step, command: tuple[str, ...], runner: Runner) -> None:
    failure = f"pip could not install {', '.join(step.install)}"
    started = runner.log.stat().st_size
    further: tuple[str, ...] = ()
    if step.index is not None and runner.run(*command, failure=None) == 0:
        return
    if step.index is not None and pip_words.not_found(tail(runner.log, started)):
        runner.account.say(f"    not where pip looks for packages; asking {step.index} as well")
        further = ("--extra-index-url", step.index)
    runner.run(*command, *further, failure=failure)


def _done_by_uv(step: Step, place: Path, runner: Runner, uv: Uv) -> bool:
    command = uv.install(place / "bin" / "python", step.install, dependencies=step.dependencies)
    if runner.run(*command, failure=None, variables=uv.variables) == 0:
        return True
    if step.index is not None:
        runner.account.say(f"    not where pip looks for packages, it seems; asking {step.index} as well")
        if runner.run(*command, failure=None, variables=uv.asking(step.index)) == 0:
            return True
    runner.account.say("    uv could not; pip does it")
    return False


def packages_directory(place: Path) -> Path:
    """Where pip puts packages in the virtual environment ``place``.

    :raises InstallationError: when there is no such directory.
    """
    found = sorted((place / "lib").glob("python3.*/site-packages"))
    if not found:
        msg = f"{place} has no directory of packages: it is no virtual environment"
        raise InstallationError(msg)
    return found[0]
