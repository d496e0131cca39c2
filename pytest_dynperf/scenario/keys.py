"""The keys that a scenario, a platform file and ``--dynperf-set`` share: one for every field of the values in this room.

In: a dotted key and what was found there, as TOML or as text. Out: a checked value, or a ScenarioError that says what is allowed. The keys
are read off the dataclasses, so a new field is a new key; what a type cannot say (bounds, choices) stands in two tables here.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import MISSING, dataclass, fields, is_dataclass
from types import UnionType
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, get_args, get_origin, get_type_hints

from pytest_dynperf.errors import ScenarioError, nearest
from pytest_dynperf.scenario.expectation import Expectation
from pytest_dynperf.scenario.fault import FAULTS, Fault
from pytest_dynperf.scenario.known import BUILT_IN
from pytest_dynperf.scenario.topology import (
    CONNECTORS,
    ENGINES,
    EXCLUSIVE,
    MODES,
    PLANES,
    ROUTER_MODES,
    SERVED_BY,
    SPECULATION_METHODS,
    Topology,
)
from pytest_dynperf.scenario.traffic import CACHES, PROCESSES, WORKLOADS, Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pytest_dynperf.scenario.known import Known

Value: TypeAlias = bool | int | float | str | tuple[str, ...]


class _Bound(NamedTuple):
    text: str
    holds: Callable[[float], bool]


_POSITIVE = _Bound("greater than 0", lambda value: value > 0)
_AT_LEAST_0 = _Bound("of at least 0", lambda value: value >= 0)
_AT_LEAST_1 = _Bound("of at least 1", lambda value: value >= 1)
_SHARE = _Bound("from 0 to below 1", lambda value: 0 <= value < 1)
_PART = _Bound("above 0 and below 1", lambda value: 0 < value < 1)
_ROLES = ("worker", "prefill", "decode", "encode")
_BOUNDS = {
    "topology.block_size": _AT_LEAST_1,
    "traffic.isl": _AT_LEAST_1,
    # A latency between tokens needs two of them.
    "traffic.osl": _Bound("of at least 2", lambda value: value >= 2),
    "traffic.concurrency": _AT_LEAST_1,
    "traffic.requests": _AT_LEAST_1,
    "traffic.warmup_requests": _AT_LEAST_0,
    "traffic.runs": _AT_LEAST_1,
    **dict.fromkeys(
        (f"traffic.arrival.{name}" for name in ("rate_per_s", "burstiness", "max_rate_per_s", "period_s", "speedup")), _POSITIVE
    ),
    "traffic.arrival.min_rate_per_s": _AT_LEAST_0,
    "traffic.arrival.ramp_s": _AT_LEAST_0,
    "traffic.arrival.max_in_flight": _AT_LEAST_1,
    "traffic.workload.isl_stddev": _AT_LEAST_0,
    "traffic.workload.osl_stddev": _AT_LEAST_0,
    "traffic.workload.prefix_ratio": _SHARE,
    "traffic.workload.prefix_length_multiplier": _POSITIVE,
    "traffic.workload.prompt_length_multiplier": _POSITIVE,
    "traffic.workload.turn_delay_s": _AT_LEAST_0,
    **dict.fromkeys(
        (
            f"traffic.workload.{name}"
            for name in (
                "prefix_count",
                "block_size",
                "prefix_root_multiplier",
                "min_isl",
                "max_isl",
                "min_osl",
                "max_osl",
                "turns",
                "image_count",
                "limit",
            )
        ),
        _AT_LEAST_1,
    ),
    "traffic.workload.shots": _AT_LEAST_0,
    "traffic.temperature": _AT_LEAST_0,
    "traffic.request_timeout_s": _POSITIVE,
    "traffic.inter_token_timeout_s": _POSITIVE,
    "traffic.max_failures_in_a_row": _AT_LEAST_1,
    "fault.after_share": _SHARE,
    "fault.at_s": _AT_LEAST_0,
    "fault.duration_s": _POSITIVE,
    "fault.restore_s": _POSITIVE,
    **dict.fromkeys((f"expect.max_{name}_share" for name in ("error", "uncertain", "late")), _SHARE),
    **dict.fromkeys(
        (f"expect.min_{name}_share" for name in ("in_flight", "rate", "active")),
        _Bound("above 0 and up to 1", lambda value: 0 < value <= 1),
    ),
    "expect.max_send_lag_s": _POSITIVE,
    "expect.max_receive_lag_s": _POSITIVE,
    **dict.fromkeys(
        (f"expect.objectives.{name}_s" for name in ("time_to_first_token", "inter_token_latency", "request_latency", "effective_latency")),
        _POSITIVE,
    ),
    **dict.fromkeys(("expect.parity.limit", "expect.parity.subject_limit"), _PART),
    "expect.parity.max_unreadable": _SHARE,
    **{f"topology.{role}.count": _AT_LEAST_1 for role in ("worker", "prefill", "decode")},
    "topology.encode.count": _AT_LEAST_0,
    **{f"topology.{role}.gpus": _AT_LEAST_0 for role in _ROLES},
    **{f"topology.{role}.{kind}_parallel": _AT_LEAST_1 for role in _ROLES for kind in ("tensor", "pipeline", "data", "expert")},
    "topology.frontends": _AT_LEAST_1,
    "topology.migration_limit": _AT_LEAST_0,
    "topology.router.ttl_s": _POSITIVE,
    "topology.router.overlap_weight": _AT_LEAST_0,
    "topology.router.temperature": _AT_LEAST_0,
    "topology.router.active_decode_blocks_threshold": _Bound("above 0 and up to 1", lambda value: 0 < value <= 1),
    "topology.router.active_prefill_tokens_threshold": _AT_LEAST_1,
    **{f"topology.kv_cache.{name}": _AT_LEAST_1 for name in ("host_gib", "disk_gib", "chunk_tokens")},
    **{f"topology.speculation.{name}": _AT_LEAST_1 for name in ("tokens", "lookup_min", "lookup_max")},
}
_CHOICES = {
    "topology.engine": ENGINES,
    "topology.mode": MODES,
    "topology.served_by": SERVED_BY,
    "topology.router_mode": ROUTER_MODES,
    "topology.planes": PLANES,
    "topology.exclusive": EXCLUSIVE,
    "topology.kv_cache.connector": CONNECTORS,
    "topology.speculation.method": SPECULATION_METHODS,
    "traffic.arrival.process": PROCESSES,
    "traffic.workload.kind": WORKLOADS,
    "traffic.cache": CACHES,
    "fault.inject": FAULTS,
}
_LARGEST = 1e15
"""Beyond it nothing that is measured here has a meaning; not-a-number and the infinities fall outside as well."""

_NOUNS: dict[type, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a text that is not empty",
    tuple: "a list of texts, or one text that is split as a shell does",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One dotted key. ``kind`` is ``bool``, ``int``, ``float``, ``str`` or ``tuple``; ``required`` keys have no default."""

    name: str
    kind: type
    required: bool

    @property
    def allowed(self) -> str:
        """What may stand here, in words."""
        if self.name in _CHOICES:
            return "one of " + ", ".join(repr(choice) for choice in _CHOICES[self.name])
        bound = _BOUNDS.get(self.name)
        return f"{_NOUNS[self.kind]} {bound.text}" if bound else _NOUNS[self.kind]

    @property
    def is_arguments(self) -> bool:
        """Arguments of a command line: ``--dynperf-set`` appends to them instead of replacing them."""
        return self.kind is tuple


def _kind(hint: object) -> type | None:
    if isinstance(hint, UnionType):
        hint = next(option for option in get_args(hint) if option is not type(None))
    if get_origin(hint) is tuple:
        return tuple if get_args(hint)[0] is str else None
    return hint if isinstance(hint, type) and hint in _NOUNS else None


def _keys_of(cls: type, prefix: str) -> Iterator[Key]:
    hints = get_type_hints(cls)
    for field in fields(cls):
        name, hint = f"{prefix}.{field.name}", hints[field.name]
        if isinstance(hint, type) and is_dataclass(hint):
            yield from _keys_of(hint, name)
        elif (kind := _kind(hint)) is not None:
            yield Key(name=name, kind=kind, required=field.default is MISSING and field.default_factory is MISSING)


KEYS: Mapping[str, Key] = {
    key.name: key
    for prefix, cls in (("topology", Topology), ("traffic", Traffic), ("expect", Expectation), ("fault", Fault))
    for key in _keys_of(cls, prefix)
}
TABLES = frozenset(name.rsplit(".", depth)[0] for name in KEYS for depth in range(1, name.count(".") + 1))
"""``topology``, ``topology.worker``, …: dotted names that hold keys."""


def find_key(name: str, *, where: str) -> Key:
    """The key called ``name``.

    :raises ScenarioError: begins with ``where``, names the nearest known key.
    """
    if name in KEYS:
        return KEYS[name]
    table = next((table for table in sorted(TABLES, key=len, reverse=True) if name.startswith(f"{table}.")), None)
    siblings = [key for key in KEYS if key.rpartition(".")[0] == table] if table else sorted({key.split(".")[0] for key in KEYS})
    hint = nearest(name, KEYS) or nearest(next((key for key in KEYS if key.endswith(f".{name}")), ""), KEYS)
    msg = f"{where}: there is no key {name!r}{hint}; known here: {', '.join(siblings)}"
    raise ScenarioError(msg)


def accept(key: Key, found: object, *, where: str, known: Known = BUILT_IN) -> Value:
    """``found``, as TOML gave it, in the type of ``key``. Integers stand for numbers; ``true`` stands for neither.

    :raises ScenarioError: begins with ``where``, says what was found and what is allowed.
    """
    value = _converted(key, found)
    added = known.more(key.name)
    choices = None if key.name not in _CHOICES else (*_CHOICES[key.name], *added)
    bound = _BOUNDS.get(key.name)
    fits = value is not None and (choices is None or value in choices)
    if fits and bound is not None and isinstance(value, int | float):
        fits = bound.holds(value)
    if value is None or not fits:
        hint = nearest(found, choices) if choices and isinstance(found, str) else ""
        msg = f"{where}: found {found!r}, allowed is {', '.join((key.allowed, *map(repr, added)))}{hint}"
        raise ScenarioError(msg)
    return value


def read(key: Key, text: str, *, where: str, known: Known = BUILT_IN) -> Value:
    """``text``, from an option or an environment variable, as a value of ``key``; booleans are ``true`` and ``false``.

    :raises ScenarioError: as :func:`accept`.
    """
    text = text.strip()
    found: object = text
    if key.kind is bool:
        found = {"true": True, "false": False}.get(text, text)
    elif key.kind is int and re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        found = int(text)
    elif key.kind is float:
        try:
            found = float(text)
        except ValueError:
            found = text
    return accept(key, found, where=where, known=known)


def read_list(key: Key, text: str, *, where: str, known: Known = BUILT_IN) -> tuple[Value, ...]:
    """The items of a comma list without duplicates: numbers ascending, everything else in the order given.

    :raises ScenarioError: for an empty list or any item that does not fit, naming the item: there is no fallback.
    """
    if not text.strip():
        msg = f"{where}: the list is empty, allowed is a comma list, each item {key.allowed}"
        raise ScenarioError(msg)
    values = [read(key, item, where=f"{where}: item {item.strip()!r}", known=known) for item in text.split(",")]
    unique = tuple(dict.fromkeys(values))
    if key.kind in (int, float):
        return tuple(sorted(unique, key=lambda value: float(value) if isinstance(value, int | float) else 0.0))
    return unique


def _converted(key: Key, found: object) -> Value | None:
    if key.kind is tuple:
        return _arguments(found)
    if key.kind is bool:
        return found if isinstance(found, bool) else None
    if isinstance(found, bool):
        return None
    if key.kind is int:
        return found if isinstance(found, int) else None
    if key.kind is float:
        return float(found) if isinstance(found, int | float) and -_LARGEST <= found <= _LARGEST else None
    return found if isinstance(found, str) and found.strip() else None


def _arguments(found: object) -> tuple[str, ...] | None:
    if isinstance(found, str):
        try:
            return tuple(shlex.split(found))
        except ValueError:  # an open quote
            return None
    if isinstance(found, list | tuple) and all(isinstance(item, str) for item in found):
        return tuple(str(item) for item in found)
    return None
