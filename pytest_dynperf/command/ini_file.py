"""The ini file that pytest would read here, without pytest: of it, the keys that are ours.

The same files in the same order as pytest's: ``pytest.toml``, ``.pytest.toml``, ``pytest.ini``, ``.pytest.ini``, ``pyproject.toml``,
``tox.ini``, ``setup.cfg``, in this directory or the nearest one above that has one with a section for pytest.
"""

from __future__ import annotations

import configparser
import tomllib
from typing import TYPE_CHECKING

from pytest_dynperf.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_PREFIX = "dynperf_"
_SECTIONS = {"pytest.ini": "pytest", ".pytest.ini": "pytest", "tox.ini": "pytest", "setup.cfg": "tool:pytest"}


def ini_values(directory: Path) -> tuple[Path | None, dict[str, str]]:
    """The file, and our keys in it as text; of a list that is no text nothing. No file: ``None`` and nothing.

    :raises UsageError: when the file cannot be read.
    """
    for place in (directory, *directory.absolute().parents):
        for name in ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg"):
            path = place / name
            if path.is_file() and (found := _section(path)) is not None:
                return path, {key: str(value) for key, value in found.items() if key.startswith(_PREFIX) and not isinstance(value, list)}
    return None, {}


def _section(path: Path) -> dict[str, object] | None:
    """What stands for pytest in ``path``; ``None`` where nothing does, and it is not a file of pytest alone."""
    try:
        if path.suffix == ".toml":
            return _of_toml(path)
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        parser.read_string(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, configparser.Error) as error:
        msg = f"cannot read {path}: {error}"
        raise UsageError(msg) from error
    section = _SECTIONS[path.name]
    if parser.has_section(section):
        return dict(parser.items(section))
    return {} if path.name in {"pytest.ini", ".pytest.ini"} else None


def _of_toml(path: Path) -> dict[str, object] | None:
    table: object = tomllib.loads(path.read_text("utf-8"))
    own = path.name != "pyproject.toml"
    for key in ("pytest",) if own else ("tool", "pytest"):
        table = table.get(key) if isinstance(table, dict) else None
    if not own and isinstance(table, dict):
        table = table.get("ini_options", table)
    return table if isinstance(table, dict) else ({} if own else None)
