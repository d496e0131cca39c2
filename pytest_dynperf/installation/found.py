"""What is installed, found without starting anything of it (unless a variable names an environment that must be looked into).

An environment counts when its marker is there, which is written last, and names files that are there. ``DYNPERF_ENGINE_<NAME>`` (``CPU``,
``LM_EVAL``) names the interpreter of another environment instead, ``DYNPERF_ENGINE_<NAME>_LMCACHE`` its cache server's program.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_dynperf.errors import UsageError
from pytest_dynperf.installation.distributions import versions_in
from pytest_dynperf.installation.model_place import made_model, tiny_model_directory
from pytest_dynperf.installation.recipe import load_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.installation.recipe import Recipe

MARKER = "installed.json"
SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """An environment that can be used. ``python`` is its interpreter, ``lmcache`` the program ``lmcache`` of the cache server's own
    environment (its interpreter stands beside it), ``model`` the directory of the model that belongs to it; ``None`` where there is none.
    ``versions`` is of distributions, ``digest`` is that of the recipe; of the versions where a variable names the environment.
    """

    python: Path
    lmcache: Path | None
    model: Path | None
    versions: Mapping[str, str]
    digest: str


def found(name: str, cache_directory: Path) -> Installed | None:
    """What serves as ``name`` here: what the variable names, else what was installed by the recipe as it is now; ``None`` without either.

    A few stats and one small file; with the variable a process of 50 ms.

    :raises UsageError: for a name without a recipe, and for a variable that names no interpreter, or one that lacks what the recipe pins.
    """
    return found_recipe(load_recipe(name), cache_directory)


def found_recipe(recipe: Recipe, cache_directory: Path) -> Installed | None:
    """As :func:`found`, by the recipe itself."""
    named = os.environ.get(variable(recipe.name))
    if named:
        return _named(recipe, named, cache_directory)
    directory = environment_directory(recipe, cache_directory)
    marker = read_marker(directory)
    if marker is None or marker["digest"] != recipe.digest:
        return None
    first = recipe.parts[0]
    programs = [directory / part.name / "bin" / part.program for part in recipe.parts if part.program]
    return Installed(
        python=directory / first.name / "bin" / "python",
        lmcache=programs[0] if programs else None,
        model=_model(recipe, cache_directory),
        versions=marker["versions"][first.name],
        digest=recipe.digest,
    )


def variable(name: str) -> str:
    """``DYNPERF_ENGINE_LM_EVAL`` for ``lm-eval``."""
    return f"DYNPERF_ENGINE_{name.upper().replace('-', '_')}"


def environment_directory(recipe: Recipe, cache_directory: Path) -> Path:
    """``<cache>/engines/cpu-0123456789ab``: where the environments of a recipe are, or will be."""
    return engines_directory(cache_directory) / recipe.directory_name


def engines_directory(cache_directory: Path) -> Path:
    """``<cache>/engines``."""
    return cache_directory.resolve() / "engines"


def read_marker(directory: Path, name: str = MARKER) -> dict[str, Any] | None:
    """What was written when the installation in ``directory`` was complete. ``None`` where it is not: no marker, one that cannot be read,
    or an environment whose interpreter is not there or no longer starts (the Python that it was made with is gone).
    """
    try:
        marker = json.loads((directory / name).read_bytes())
        if marker["schema"] != SCHEMA:
            return None
        complete = all((directory / part / "bin" / "python").exists() for part in marker["versions"])
        complete = complete and all((directory / program).exists() for program in marker["programs"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return marker if complete else None


def _named(recipe: Recipe, named: str, cache_directory: Path) -> Installed:
    first = recipe.parts[0]
    python = Path(named).expanduser()
    versions = versions_in(python, first.record)
    if versions is None:
        msg = f"{variable(recipe.name)}={named} is no Python interpreter that starts: name one, such as /path/to/environment/bin/python"
        raise UsageError(msg)
    lacking = [
        f"{name} {pin} (found: {versions.get(name, 'not installed')})" for name, pin in _pins(recipe).items() if versions.get(name) != pin
    ]
    if lacking:
        msg = (
            f"{variable(recipe.name)}={named} has not what {recipe.name} is made of: {', '.join(lacking)}. Unset it and run "
            f"'dynperf engines install {recipe.name}', or install these there"
        )
        raise UsageError(msg)
    program = os.environ.get(f"{variable(recipe.name)}_LMCACHE")
    text = json.dumps(versions, sort_keys=True)
    return Installed(
        python=python.absolute(),
        lmcache=Path(program).expanduser().absolute() if program else None,
        model=_model(recipe, cache_directory),
        versions=versions,
        digest=hashlib.sha256(text.encode()).hexdigest()[:12],
    )


def _pins(recipe: Recipe) -> dict[str, str]:
    """Those of the first part's recorded distributions that its steps pin to one version."""
    first = recipe.parts[0]
    exact = dict(requirement.split("==", 1) for step in first.steps for requirement in step.install if "==" in requirement)
    pinned = {name.split("[")[0]: version for name, version in exact.items()}
    return {name: pinned[name] for name in first.record if name in pinned}


def _model(recipe: Recipe, cache_directory: Path) -> Path | None:
    directory = tiny_model_directory(cache_directory)
    return directory if recipe.model is not None and made_model(directory) is not None else None
