"""The edge of this room: reads scenario.toml and platform files, and hands on values that have been checked key by key."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from pytest_dynperf.errors import ScenarioError, nearest
from pytest_dynperf.scenario.arms import ARMS, read_arms, reject_strangers
from pytest_dynperf.scenario.known import BUILT_IN
from pytest_dynperf.scenario.layer import LAYER_TABLES, read_layer, reject_unknown, table_at
from pytest_dynperf.scenario.platform import LAUNCHERS, Platform
from pytest_dynperf.scenario.platform_files import platform_names
from pytest_dynperf.scenario.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import TypeAlias

    from pytest_dynperf.scenario.known import Known
    from pytest_dynperf.scenario.scenario import Layer

    _Arms: TypeAlias = dict[str, Layer]

SCHEMA = 1
"""The schema of scenario.toml and of platform files that this version reads."""

SKIP = "skip"
"""In ``[platform.NAME]``: why the suite's question cannot be answered there. Its cases are collected, and skipped with this reason."""

_SCENARIO_KEYS = ("schema", "question", *LAYER_TABLES, ARMS, "platform")
_PLATFORM_TYPES: dict[str, tuple[type, str]] = {
    "name": (str, "the file's name without .toml"),
    "summary": (str, "a text that is not empty"),
    "gpu_pattern": (str, "a part of the product name that NVML reports, such as 'H100', or an empty text"),
    "gpu_count": (int, "an integer of at least 0"),
    "gpu_memory_gib": (float, "a number of at least 0"),
    "launcher": (str, "one of " + ", ".join(repr(name) for name in LAUNCHERS)),
    "simulated": (bool, "true or false"),
    "verified": (bool, "true or false"),
}


def load_scenario(path: Path, *, known: Known = BUILT_IN) -> Scenario:
    """The scenario in ``path``; its suite is named after the directory. ``known``: what it may name.

    :raises ScenarioError: unreadable file, TOML error (with line), unknown key, wrong type or value, unknown platform or metric.
    """
    tables = _parsed(path)
    reject_unknown(tables, _SCENARIO_KEYS, where=str(path))
    question = tables.get("question")
    if not isinstance(question, str) or not question.strip():
        msg = f"{path}: question: found {question!r}, allowed is the question that the suite answers, as a text"
        raise ScenarioError(msg)
    per_platform = table_at(tables.get("platform", {}), where=f"{path}: platform")
    platforms = platform_names(path)
    for name in per_platform:
        if name not in platforms:
            msg = f"{path}: platform.{name}: there is no platform {name!r}{nearest(name, platforms)}; known: {', '.join(platforms)}"
            raise ScenarioError(msg)
    arms, platform_arms = _arms(tables, per_platform, file=str(path), known=known)
    return Scenario(
        suite=path.resolve().parent.name,
        file=str(path),
        question=question.strip(),
        layer=read_layer({name: tables[name] for name in LAYER_TABLES if name in tables}, file=str(path), known=known),
        platforms={
            name: read_layer(_layer_of(found, where=f"{path}: platform.{name}"), file=str(path), prefix=f"platform.{name}.", known=known)
            for name, found in per_platform.items()
        },
        skips=dict(_skips(per_platform, where=f"{path}: platform")),
        arms=arms,
        platform_arms=platform_arms,
    )


def _layer_of(found: object, *, where: str) -> Mapping[str, object]:
    return {name: value for name, value in table_at(found, where=where).items() if name not in (SKIP, ARMS)}


def _arms(tables: Mapping[str, object], per_platform: Mapping[str, object], *, file: str, known: Known) -> tuple[_Arms, dict[str, _Arms]]:
    """The arms, and what is different in them on which platform."""
    arms = read_arms(tables.get(ARMS, {}), file=file, known=known)
    on_platforms = {
        name: read_arms(
            _unskipped(table[ARMS], where=f"{file}: platform.{name}.{ARMS}"), file=file, prefix=f"platform.{name}.", known=known
        )
        for name, found in per_platform.items()
        if ARMS in (table := table_at(found, where=f"{file}: platform.{name}"))
    }
    reject_strangers(arms, on_platforms, file=file)
    return arms, on_platforms


def _unskipped(arms: object, *, where: str) -> Mapping[str, object]:
    """The arms of a platform without the reasons why one cannot be had there."""
    tables = {name: table_at(table, where=f"{where}.{name}") for name, table in table_at(arms, where=where).items()}
    return {name: {key: value for key, value in table.items() if key != SKIP} for name, table in tables.items()}


def _skips(per_platform: Mapping[str, object], *, where: str) -> Iterator[tuple[str, str]]:
    """``h100``, or for one arm ``h100.arms.warm``, and the reason."""
    tables = {name: table_at(found, where=f"{where}.{name}") for name, found in per_platform.items()}
    tables |= {
        f"{name}.{ARMS}.{arm}": table_at(found, where=f"{where}.{name}.{ARMS}.{arm}")
        for name, table in tables.items()
        for arm, found in table_at(table.get(ARMS, {}), where=f"{where}.{name}.{ARMS}").items()
    }
    for name, table in tables.items():
        if SKIP not in table:
            continue
        reason = table[SKIP]
        if not isinstance(reason, str) or not reason.strip():
            msg = f"{where}.{name}.{SKIP}: found {reason!r}, allowed is why this platform cannot answer the question, as a text"
            raise ScenarioError(msg)
        yield name, " ".join(reason.split())


def load_platform(path: Path, *, known: Known = BUILT_IN) -> Platform:
    """The platform in ``path``.

    :raises ScenarioError: as :func:`load_scenario`; also when the file's name and ``name`` differ, and for GPUs without a pattern.
    """
    tables = _parsed(path)
    reject_unknown(tables, ("schema", *_PLATFORM_TYPES, *LAYER_TABLES), where=str(path))
    for name, (kind, allowed) in _PLATFORM_TYPES.items():
        found = tables.get(name)
        number = isinstance(found, int | float) and not isinstance(found, bool) and found >= 0
        fits = number and (kind is float or isinstance(found, int)) if kind in (int, float) else isinstance(found, kind)
        if not fits or (name == "summary" and not str(found).strip()):
            what = f"found {found!r}" if name in tables else "missing"
            msg = f"{path}: {name}: {what}, allowed is {allowed}"
            raise ScenarioError(msg)
    if tables["name"] != path.stem:
        msg = f"{path}: name: found {tables['name']!r}, allowed is {path.stem!r}: --gpu finds a platform by the name of its file"
        raise ScenarioError(msg)
    if tables["launcher"] not in LAUNCHERS:
        launcher = str(tables["launcher"])
        msg = f"{path}: launcher: found {launcher!r}, allowed is {_PLATFORM_TYPES['launcher'][1]}{nearest(launcher, LAUNCHERS)}"
        raise ScenarioError(msg)
    if (tables["gpu_count"] == 0) != (tables["gpu_pattern"] == ""):
        msg = f"{path}: gpu_pattern: found {tables['gpu_pattern']!r} with gpu_count {tables['gpu_count']}; both name GPUs, or neither does"
        raise ScenarioError(msg)
    defaults = {name: tables[name] for name in LAYER_TABLES if name in tables}
    read_layer(defaults, file=str(path), known=known)
    return _platform(tables, file=str(path), defaults=defaults)


def _platform(tables: Mapping[str, object], *, file: str, defaults: Mapping[str, object]) -> Platform:
    return Platform(
        name=str(tables["name"]),
        summary=str(tables["summary"]).strip(),
        file=file,
        gpu_pattern=str(tables["gpu_pattern"]),
        gpu_count=int(str(tables["gpu_count"])),
        gpu_memory_gib=float(str(tables["gpu_memory_gib"])),
        launcher=str(tables["launcher"]),
        simulated=tables["simulated"] is True,
        verified=tables["verified"] is True,
        defaults=defaults,
    )


def _parsed(path: Path) -> Mapping[str, object]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path}: cannot be read: {error}"
        raise ScenarioError(msg) from error
    try:
        tables: dict[str, object] = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, and int() for a number of thousands of digits
        # tomllib gives line and column except where the document ends too early.
        place = "" if "(at line " in str(error) else f", line {text.count(chr(10)) + 1}"
        msg = f"{path}: not valid TOML: {error}{place}"
        raise ScenarioError(msg) from error
    schema = tables.get("schema")
    if isinstance(schema, bool) or schema != SCHEMA:
        what = f"found {schema!r}" if "schema" in tables else "missing"
        msg = f"{path}: schema: {what}, allowed is {SCHEMA}; a larger number needs a newer pytest-dynperf"
        raise ScenarioError(msg)
    return tables
