"""Plain JSON types, written and read: the part of ``session.json`` that knows no field.

Writing refuses what is not plain: a ``numpy.float64`` that crosses from an xdist worker ends the whole session there, so it raises here,
where its place can still be named. Reading says which key of which table is wrong.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar

import msgspec

from pytest_dynperf.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping
    from enum import Enum

    from _typeshed import DataclassInstance

T = TypeVar("T")
E = TypeVar("E", bound="Enum")
H = TypeVar("H", bound="Hashable")


def plain_table(table: Mapping[str, object], where: str) -> dict[str, object]:
    """A copy of ``table`` whose every leaf is exactly ``str``, ``int``, ``bool``, ``None`` or a finite ``float``.

    Half surrogates, which a server can send inside JSON and which no UTF-8 file or xdist channel takes, are written out (``\\ud800``).

    :raises TypeError: for any other type, subclasses such as ``numpy.float64`` and enums included.
    :raises ValueError: for NaN and infinity, which JSON does not have: absence is ``null`` with a reason.
    """
    copied = {}
    for key, entry in table.items():
        if type(key) is not str:
            msg = f"{where}: key {key!r} is {_name(type(key))}, not str"
            raise TypeError(msg)
        copied[_encodable(key)] = _plain(entry, f"{where}.{key}")
    return copied


def _plain(value: object, where: str) -> object:
    kind = type(value)
    if isinstance(value, dict) and kind is dict:
        return plain_table(value, where)
    if isinstance(value, list) and kind is list:
        return [_plain(entry, f"{where}[{index}]") for index, entry in enumerate(value)]
    if kind not in (str, int, float, bool, type(None)):
        msg = f"{where} is {_name(kind)}, not a plain JSON type: convert it where it was computed"
        raise TypeError(msg)
    if isinstance(value, float) and not math.isfinite(value):
        msg = f"{where} is {value}: what could not be computed is absent with a reason, never a number"
        raise ValueError(msg)
    return _encodable(value) if isinstance(value, str) else value


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def take(table: Mapping[str, object], key: str, kind: type[T]) -> T:
    """``table[key]``, which must be a ``kind`` (``float`` takes whole numbers too; ``True`` is no number).

    :raises UsageError: when it is missing or something else; names key, type and what was found.
    """
    if key not in table:
        msg = f"key {key!r} is missing (found: {', '.join(map(repr, table)) or 'nothing'})"
        raise UsageError(msg)
    value = table[key]
    if kind is float and type(value) is int:
        value = float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        msg = f"key {key!r} should be {kind.__name__}, found {str(value)[:80]!r}"
        raise UsageError(msg)
    return value


def take_optional(table: Mapping[str, object], key: str, kind: type[T]) -> T | None:
    """Like :func:`take`, with ``None`` for ``null``."""
    return None if key in table and table[key] is None else take(table, key, kind)


def take_table(table: Mapping[str, object], key: str) -> dict[str, object]:
    """``table[key]`` as a table.

    :raises UsageError: like :func:`take`.
    """
    return take(table, key, dict)


def take_all(table: Mapping[str, object], key: str, kind: type[T]) -> tuple[T, ...]:
    """``table[key]`` as a list whose entries all are ``kind``.

    :raises UsageError: like :func:`take`.
    """
    entries = take(table, key, list)
    if all(type(entry) is kind for entry in entries):  # nearly always, and many times faster
        return tuple(entries)
    return tuple(take({f"{key}[{index}]": entry}, f"{key}[{index}]", kind) for index, entry in enumerate(entries))


def take_map(table: Mapping[str, object], key: str, kind: type[T]) -> dict[str, T]:
    """``table[key]`` as a table whose values all are ``kind``.

    :raises UsageError: like :func:`take`.
    """
    entries = take_table(table, key)
    return {name: take(entries, name, kind) for name in entries}


def take_member(table: Mapping[str, object], key: str, kind: type[E]) -> E:
    """The member of ``kind`` whose value is the text ``table[key]``.

    :raises UsageError: like :func:`take`, and for another text; names those that there are.
    """
    text = take(table, key, str)
    for member in kind:
        if member.value == text:
            return member
    msg = f"key {key!r} should be one of {', '.join(str(member.value) for member in kind)}, found {text[:80]!r}"
    raise UsageError(msg)


def repeated(values: Iterable[H]) -> H | None:
    """The first that stands there a second time, or ``None``."""
    seen: set[H] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


def plain_value(value: DataclassInstance) -> dict[str, object]:
    """A frozen value as a table: its fields by name, values within it as tables, tuples as lists."""
    return {name: _listed(entry) for name, entry in asdict(value).items()}


def _listed(entry: object) -> object:
    if isinstance(entry, dict):
        return {name: _listed(inner) for name, inner in entry.items()}
    return [_listed(inner) for inner in entry] if isinstance(entry, tuple | list) else entry


def take_value(table: Mapping[str, object], key: str, cls: type[T]) -> T:
    """``table[key]``, as :func:`plain_value` wrote it, as a ``cls``.

    :raises UsageError: when it is missing, or a field of it is missing or of another type; names the field.
    """
    try:
        return msgspec.convert(take_table(table, key), cls, strict=True)
    except msgspec.ValidationError as error:
        msg = f"key {key!r}: {error}"
        raise UsageError(msg) from error
