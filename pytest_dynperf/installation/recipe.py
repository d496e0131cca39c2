"""What an environment is made of: parts, each a virtual environment, made in steps. Pure.

A recipe is a file of the package, ``recipes/<name>.toml``. Its digest is of what decides the outcome (requirements, order, repairs), not of
its words, so that a changed recipe is another environment beside the old one.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from pytest_dynperf.errors import InstallationError, UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = 1
GB = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of pip: ``install`` or ``remove``; then the ``repair`` of that name. ``index`` is asked besides where pip's own
    configuration does not have what is wanted. ``about`` and ``why`` are said to people.
    """

    about: str
    why: str = ""
    install: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    dependencies: bool = True
    index: str | None = None
    repair: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One virtual environment. ``record``: distributions whose versions are kept, all of which must be there; ``verify``: modules that must
    import; ``program``: a program beside the interpreter that must be there.
    """

    name: str
    about: str
    why: str = ""
    steps: tuple[Step, ...]
    record: tuple[str, ...]
    verify: tuple[str, ...] = ()
    program: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The first part is the one that deployments start. ``pythons``: versions as ``3.11``; ``machines``: as ``uname -m`` says;
    ``disk_bytes``: free space needed while it is made; ``model``: a model that belongs to it.
    """

    name: str
    about: str
    parts: tuple[Part, ...]
    pythons: tuple[str, ...]
    machines: tuple[str, ...]
    disk_bytes: int
    model: str | None = None

    @property
    def digest(self) -> str:
        """12 hexadecimal digits of SHA-256 over everything but words for people and the space needed."""
        spoken = ("about", "why", "disk_bytes")
        text = json.dumps(_without(asdict(self), spoken), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def directory_name(self) -> str:
        """``cpu-0123456789ab``."""
        return f"{self.name}-{self.digest}"


def known_recipes() -> tuple[str, ...]:
    """Names of the recipes that the package has."""
    folder = files("pytest_dynperf.installation").joinpath("recipes")
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_recipe(name: str) -> Recipe:
    """The package's recipe ``name``.

    :raises UsageError: for a name that it does not have; says the nearest one.
    """
    known = known_recipes()
    if name not in known:
        msg = f"there is no engine {name!r} to install{nearest(name, known)}: there are {', '.join(known)}"
        raise UsageError(msg)
    return parse_recipe(name, files("pytest_dynperf.installation").joinpath("recipes", f"{name}.toml").read_text(encoding="utf-8"))


def parse_recipe(name: str, text: str) -> Recipe:
    """A recipe from TOML.

    :raises InstallationError: for another schema, and for a key that is lacking or not known.
    """
    try:
        document = tomllib.loads(text)
        if document.pop("schema", None) != SCHEMA:
            msg = f"the recipe of {name} cannot be read: its schema is not {SCHEMA}"
            raise InstallationError(msg)
        parts = tuple(_part(part) for part in document.pop("part"))
        disk_bytes = round(document.pop("disk_gb") * GB)
        return Recipe(name=name, parts=parts, disk_bytes=disk_bytes, **_tuples(document))
    except (KeyError, TypeError, ValueError) as error:
        msg = f"the recipe of {name} cannot be read: {error}"
        raise InstallationError(msg) from error


def _part(document: dict[str, Any]) -> Part:
    steps = tuple(Step(**_tuples(step)) for step in document.pop("step"))
    return Part(steps=steps, **_tuples(document))


def _tuples(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in document.items()}


def _without(value: object, names: tuple[str, ...]) -> object:
    if isinstance(value, dict):
        return {key: _without(each, names) for key, each in value.items() if key not in names}
    if isinstance(value, list | tuple):
        return [_without(each, names) for each in value]
    return value
