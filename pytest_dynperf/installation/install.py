"""The whole of an installation: environments, model, one completion; and what it would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.errors import InstallationError
from pytest_dynperf.installation.environment import build, check_machine, finish, free_bytes, log_path
from pytest_dynperf.installation.found import engines_directory, environment_directory, found_recipe, read_marker
from pytest_dynperf.installation.inventory import lock_path
from pytest_dynperf.installation.model_place import made_model, tiny_model_directory, unmade
from pytest_dynperf.installation.recipe import GB
from pytest_dynperf.installation.repair import EXPLAINED
from pytest_dynperf.installation.tiny_model import make_tiny_model
from pytest_dynperf.installation.trial import try_completion
from pytest_dynperf.installation.turn import turn

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.installation.found import Installed
    from pytest_dynperf.installation.logged_process import Account
    from pytest_dynperf.installation.recipe import Recipe, Step


def install(recipe: Recipe, cache_directory: Path, python: Path, account: Account) -> Installed:
    """Make what is not there of ``recipe``: 4 to 15 minutes for ``cpu``, a moment where all is there.

    :raises DynperfError: for what cannot be made; nothing that is half made counts as installed.
    """
    if not complete(recipe, cache_directory):
        with turn(lock_path(recipe.name, cache_directory), account) as lock:
            _install(recipe, cache_directory.resolve(), python, account, (lock,))
    installed = found_recipe(recipe, cache_directory)
    if installed is None:
        msg = f"{recipe.name} was installed, and is not found in {engines_directory(cache_directory)}: did somebody remove it meanwhile?"
        raise InstallationError(msg)
    return installed


def complete(recipe: Recipe, cache_directory: Path) -> bool:
    """Whether nothing is left to do."""
    return (recipe.model is None or not unmade(cache_directory)) and read_marker(environment_directory(recipe, cache_directory)) is not None


def _install(recipe: Recipe, cache_directory: Path, python: Path, account: Account, keep: tuple[int, ...]) -> None:
    directory = environment_directory(recipe, cache_directory)
    if not directory.exists():
        check_machine(recipe, python, cache_directory)
    build(recipe, cache_directory, python, account, keep)
    inner = directory / recipe.parts[0].name / "bin" / "python"
    if recipe.model is not None:
        model = make_tiny_model(inner, cache_directory, account, keep)
        try_completion(inner, model, log_path(directory), account, keep)
    finish(directory)


def plan_lines(recipe: Recipe, cache_directory: Path, python: Path) -> list[str]:
    """What :func:`install` would do, and where.

    :raises DynperfError: where it cannot be done on this machine.
    """
    directory = environment_directory(recipe, cache_directory)
    lines = [f"{recipe.name}: {recipe.about}"]
    if complete(recipe, cache_directory):
        return [*lines, f"installed already: {directory}"]
    check_machine(recipe, python, cache_directory)
    lines.append(f"into {directory}, with {python}")
    lines.append(f"while it is made it needs {recipe.disk_bytes / GB:.1f} GB, {free_bytes(cache_directory) / GB:.1f} GB are free")
    for part in recipe.parts:
        lines.append(f"{part.name}: {part.about}" + (f" (an environment of its own: {part.why})" if part.why else ""))
        lines += [line for step in part.steps for line in _step_lines(step)]
    if recipe.model is not None:
        made = made_model(tiny_model_directory(cache_directory)) is not None
        lines.append(f"model: {tiny_model_directory(cache_directory)} " + ("is there already" if made else "is trained, 2 to 10 minutes"))
        lines.append("then the engine is started on it and must answer questions")
    return lines


def _step_lines(step: Step) -> list[str]:
    lines = [f"  {step.about}" + (f": {step.why}" if step.why else "")]
    if step.install:
        lines.append(f"    pip install {'' if step.dependencies else '--no-deps '}{' '.join(step.install)}")
    if step.index:
        lines.append(f"    (from {step.index} where pip's own indexes do not have it)")
    if step.remove:
        lines.append(f"    pip uninstall {' '.join(step.remove)}")
    if step.repair:
        lines.append(f"    repair of {EXPLAINED[step.repair]}")
    return lines
