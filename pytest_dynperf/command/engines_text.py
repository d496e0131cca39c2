"""What ``dynperf engines list`` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.installation.found import variable
from pytest_dynperf.installation.inventory import size_bytes
from pytest_dynperf.installation.model_place import made_model
from pytest_dynperf.installation.recipe import GB, known_recipes, load_recipe
from pytest_dynperf.installation.tiny_model import model_directories

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pytest_dynperf.installation.inventory import Environment

_MB = 1_000_000


def inventory_lines(there: Sequence[Environment], cache_directory: Path, variables: Mapping[str, str]) -> list[str]:
    """Environments, models, then recipes of which nothing is installed."""
    lines = [line for each in there for line in _environment_lines(each)]
    for directory in model_directories(cache_directory):
        made = made_model(directory) or {}
        accuracy = made.get("accuracy")
        noise = made.get("noise_percent")
        told = f", {accuracy['own']:.1%} right answers" if isinstance(accuracy, dict) and not noise else ""
        lines.append(
            f"model  {directory}: {size_bytes(directory) / _MB:.0f} MB{told}" + (f", weights with {noise} % noise" if noise else "")
        )
    for name in known_recipes():
        if variables.get(variable(name)):
            lines.append(f"{name}: {variable(name)} names {variables[variable(name)]}, which is used instead of what is installed")
        elif not any(each.name == name and each.current and each.state == "installed" for each in there):
            lines.append(f"{name}: not installed ({load_recipe(name).about}); dynperf engines install {name}")
    return lines


def _environment_lines(environment: Environment) -> list[str]:
    state = {
        "installed": "installed",
        "untried": f"complete, but no completion has come back yet: dynperf engines install {environment.name}",
        "unfinished": "unfinished, and does not count: the next installation clears it away",
    }[environment.state]
    older = "" if environment.current else "; of an older recipe, which nothing uses any more"
    lines = [f"{environment.name}  {state}{older}", f"  {environment.directory}: {size_bytes(environment.directory) / GB:.1f} GB"]
    if environment.made:
        lines.append(f"  made {environment.made} with Python {environment.python}")
    for part, versions in environment.versions.items():
        lines.append(f"  {part}: {', '.join(f'{name} {version}' for name, version in versions.items())}")
    return lines
