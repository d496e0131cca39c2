"""uv in the place of pip, where it can be: the same requirements from the same indexes, in a twentieth of the time.

pip took 15 minutes for what ``cpu`` is made of, on two cores that others used as well, and uv 44 s: it resolves, fetches and unpacks side
by side, and what both environments need is on the disk once. uv does not read pip's configuration, so it is told in variables what that
says. What cannot be told so, where uv is not to be had, and whatever it fails at, pip does.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

REQUIREMENT = "uv>=0.8,<1"
DIRECTORY = ".uv"
"""Below the directory that is being made: uv itself, and what it fetches. On the same disk, so that files are linked and not copied."""

CONFIG_S = 60.0
_SECTIONS = ("global", "install", ":env:")
"""Of pip's configuration, each above the one before it."""

_WITHOUT_MEANING = frozenset(
    "disable-pip-version-check no-input progress-bar quiet verbose no-color cache-dir no-cache-dir root-user-action retries compile "  # noqa: SIM905
    "no-compile no-warn-script-location no-warn-conflicts no-python-version-warning user target prefix root require-virtualenv no-deps "
    "break-system-packages log use-feature prefer-binary".split()
)
"""Settings that change nothing of what is fetched from where, or that are left out for pip as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uv:
    """``program`` is uv; ``variables`` what it is told, passwords in addresses included."""

    program: str
    variables: Mapping[str, str]

    def install(self, python: Path, requirements: tuple[str, ...], *, dependencies: bool) -> tuple[str, ...]:
        """The command line that puts ``requirements`` into the environment of ``python``."""
        return (
            *(self.program, "pip", "install", "--no-progress", "--python", str(python)),
            *(() if dependencies else ("--no-deps",)),
            *requirements,
        )

    def asking(self, index: str) -> dict[str, str]:
        """:attr:`variables` with one index more."""
        return {**self.variables, "UV_INDEX": " ".join([*self.variables.get("UV_INDEX", "").split(), index])}


def uv_for(python: Path, directory: Path, environment: Mapping[str, str], run: Callable[..., int]) -> Uv | None:
    """uv for an installation in ``directory``: the one in ``PATH``, else fetched by the pip of ``python`` with ``run`` (takes its command
    line, gives the exit status). ``None`` where pip must do it itself. Some seconds; :func:`put_away` when all is there.
    """
    configured = _configuration(python, environment)
    variables = None if configured is None else said_to_uv(configured, directory / DIRECTORY / "cache")
    if variables is None:
        return None
    program = shutil.which("uv", path=environment.get("PATH"))
    if program is None:
        place = directory / DIRECTORY / "program"
        pip = (str(python), "-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet", "--no-deps")
        if run(*pip, "--target", str(place), REQUIREMENT) or not os.access(place / "bin" / "uv", os.X_OK):
            return None
        program = str(place / "bin" / "uv")
    return Uv(program=program, variables=variables)


def put_away(directory: Path) -> None:
    """Remove uv and what it has fetched; what was installed stays."""
    shutil.rmtree(directory / DIRECTORY, ignore_errors=True)


def _configuration(python: Path, environment: Mapping[str, str]) -> dict[str, str] | None:
    try:
        said = subprocess.run(
            [str(python), "-I", "-m", "pip", "--disable-pip-version-check", "config", "list"],
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=CONFIG_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return pip_configuration(said.stdout)


def pip_configuration(listed: str) -> dict[str, str] | None:
    """What holds for ``pip install``, from the lines of ``pip config list``: ``global.index-url='https://…'``. ``None`` for a line that is
    not of that form.
    """
    sections: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for line in filter(None, map(str.strip, listed.splitlines())):
        name, equals, value = line.partition("=")
        section, dot, key = name.rpartition(".")
        if not equals or not dot:
            return None
        try:
            text = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            return None
        if section in sections:
            sections[section][key] = str(text)
    return {key: value for section in _SECTIONS for key, value in sections[section].items()}


def said_to_uv(configured: Mapping[str, str], cache: Path) -> dict[str, str] | None:
    """Variables that tell uv what pip's configuration says; ``None`` where it says what has no word there, such as a file of constraints.

    Of all indexes the newest version counts, as with pip.
    """
    words: dict[str, tuple[tuple[str, ...], str]] = {
        "index-url": (("UV_DEFAULT_INDEX",), " "),
        "extra-index-url": (("UV_INDEX",), " "),
        "find-links": (("UV_FIND_LINKS",), ","),
        "cert": (("SSL_CERT_FILE",), " "),
        "timeout": (("UV_HTTP_TIMEOUT",), " "),
        "default-timeout": (("UV_HTTP_TIMEOUT",), " "),
        "proxy": (("HTTP_PROXY", "HTTPS_PROXY"), " "),
        "trusted-host": (("UV_INSECURE_HOST",), " "),
    }
    found = {
        "UV_CACHE_DIR": str(cache),
        "UV_NO_CONFIG": "1",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_PYTHON_DOWNLOADS": "never",
    }
    for key, value in configured.items():
        if key in words:
            names, between = words[key]
            found |= dict.fromkeys(names, between.join(value.split()))
        elif key not in _WITHOUT_MEANING:
            return None
    return found
