"""``waivers.toml`` beside the baselines: regressions that people have agreed to live with for a while.

Reading is strict: a waiver that says something else than its author meant would hide a regression, or fail to cover one.
"""

from __future__ import annotations

import datetime
import tomllib
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.waiver import Waiver
from pytest_dynperf.errors import BaselineError, nearest
from pytest_dynperf.metrics.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_KEYS = ("case", "expires", "link", "metric", "reason")


def waivers_path(root: Path) -> Path:
    """Where the waivers of a store lie."""
    return root / "waivers.toml"


def read_waivers(path: Path) -> tuple[Waiver, ...]:
    """The entries of the file in its order; none where there is no file.

    :raises BaselineError: for what cannot be read, is not TOML, or is not exactly a list of waivers; names file, entry and key.
    """
    try:
        table = tomllib.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        return ()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}. Make it readable, or restore it from version control."
        raise BaselineError(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path} is not TOML: {error}. Correct it, or restore it from version control."
        raise BaselineError(msg) from error
    for name in table:
        if name != "waiver":
            msg = f"{path}: there is no key {name!r}{nearest(name, ('waiver',))}; every entry begins with [[waiver]]"
            raise BaselineError(msg)
    entries = table.get("waiver", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        msg = f"{path}: every entry begins with [[waiver]], in double brackets"
        raise BaselineError(msg)
    return tuple(_waiver(entry, where=f"{path}: waiver {number}") for number, entry in enumerate(entries, start=1))


def _waiver(entry: Mapping[str, object], *, where: str) -> Waiver:
    for name in entry:
        if name not in _KEYS:
            msg = f"{where}: there is no key {name!r}{nearest(name, _KEYS)}; known are {', '.join(_KEYS)}"
            raise BaselineError(msg)
    case, link = _text(entry, "case", where), _text(entry, "link", where)
    if not all(case.partition("/")):
        msg = f"{where}: case is {case!r}, expected SUITE/CASE, or a shell pattern of it such as 'concurrency_sweep/*'"
        raise BaselineError(msg)
    if not link.startswith(("https://", "http://")):
        msg = f"{where}: link is {link!r}, expected the URL at which the regression is discussed"
        raise BaselineError(msg)
    return Waiver(
        case=case,
        metric=_metric(entry, where),
        reason=_text(entry, "reason", where),
        link=link,
        expires=_date(entry, where),
    )


def _text(entry: Mapping[str, object], name: str, where: str) -> str:
    if name not in entry:
        msg = f"{where}: {name} is missing"
        raise BaselineError(msg)
    value = entry[name]
    if not isinstance(value, str) or not value.strip():
        msg = f"{where}: {name} must be text that is not empty, found {value!r}"
        raise BaselineError(msg)
    return value.strip()


def _metric(entry: Mapping[str, object], where: str) -> str | None:
    if "metric" not in entry:
        return None
    metric = _text(entry, "metric", where)
    known = {name for definition in CATALOGUE.values() for name in (definition.id, definition.name)}
    if metric not in known:
        msg = f"{where}: metric is {metric!r}, which no gate can have{nearest(metric, known)}"
        raise BaselineError(msg)
    return metric


def _date(entry: Mapping[str, object], where: str) -> datetime.date:
    if "expires" not in entry:
        msg = f"{where}: expires is missing: a waiver holds for a while, never for ever"
        raise BaselineError(msg)
    value = entry["expires"]
    if not isinstance(value, datetime.date) or isinstance(value, datetime.datetime):
        msg = f"{where}: expires must be a date without quotes, such as 2027-01-31, found {str(value)!r}"
        raise BaselineError(msg)
    return value
