"""JSON read strictly: what a value must be is said by who reads it, and what is not exactly that is a flaw with its place."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, NoReturn

from pytest_dynperf.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Flaw(Exception):
    """What is wrong, without the file: who knows the file adds it."""


def parsed(text: str) -> object:
    """The value of a JSON text.

    :raises Flaw: for a text that is empty, cut off, nested too deeply or no JSON, for NaN and infinity, and for a key that is there twice.
    """
    if not text.strip():
        msg = "it is empty"
        raise Flaw(msg)
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        msg = f"it is cut off after {len(text)} characters" if _cut_off(text, error) else str(error)
        raise Flaw(msg) from error
    except RecursionError as error:
        msg = "it is nested too deeply for a baseline"
        raise Flaw(msg) from error
    except ValueError as error:  # more digits than Python converts
        raise Flaw(str(error)) from error


def _cut_off(text: str, error: json.JSONDecodeError) -> bool:
    """Whether more text could have made it right: it began well, and what is wrong is its end."""
    began_well = text.lstrip().startswith("{")
    return began_well and (error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"))


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        msg = f"the key {next(name for name in names if names.count(name) > 1)!r} is there twice"
        raise Flaw(msg)
    return table


def _refuse_constant(constant: str) -> NoReturn:
    msg = f"{constant} is not a number"
    raise Flaw(msg)


def expect_keys(table: Mapping[str, object], expected: Iterable[str], where: str) -> None:
    """:raises Flaw: unless ``table`` has exactly the ``expected`` keys; names the nearest known one."""
    expected = tuple(expected)
    for name in expected:
        if name not in table:
            msg = f"{where} lacks {name!r}"
            raise Flaw(msg)
    for name in table:
        if name not in expected:
            msg = f"{where} has {name!r}, which a baseline does not know{nearest(name, expected)}"
            raise Flaw(msg)


def as_table(value: object, where: str) -> dict[str, object]:
    """:raises Flaw: unless ``value`` is an object."""
    if not isinstance(value, dict):
        msg = f"{where} must be an object"
        raise Flaw(msg)
    return value


def text_at(table: Mapping[str, object], name: str, where: str) -> str:
    """:raises Flaw: unless it is text that is not empty."""
    value = table[name]
    if not isinstance(value, str) or not value:
        msg = f"{name!r} of {where} must be text that is not empty, found {value!r}"
        raise Flaw(msg)
    return value


def texts_at(table: Mapping[str, object], name: str, where: str) -> dict[str, str]:
    """:raises Flaw: unless it is an object of texts."""
    texts = {}
    for key, value in as_table(table[name], f"{name!r} of {where}").items():
        if not isinstance(value, str):
            msg = f"{key!r} in {name!r} of {where} must be text, found {value!r}"
            raise Flaw(msg)
        texts[key] = value
    return texts


def integer_at(table: Mapping[str, object], name: str, where: str) -> int:
    """:raises Flaw: unless it is a whole number from 0."""
    value = table.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        msg = f"{name!r} of {where} must be a whole number from 0, found {value!r}"
        raise Flaw(msg)
    return value


def number_at(table: Mapping[str, object], name: str, where: str) -> float:
    """:raises Flaw: unless it is a finite number."""
    value = table[name]
    if type(value) is float and math.isfinite(value):  # nearly all of a document, and its place need not be spelled out
        return value
    return as_number(value, f"{name!r} of {where}")


def magnitude_at(table: Mapping[str, object], name: str, where: str) -> float:
    """:raises Flaw: unless it is a finite number from 0."""
    value = number_at(table, name, where)
    if value < 0:
        msg = f"{name!r} of {where} is {value:g}, and nothing that is measured there is ever below 0"
        raise Flaw(msg)
    return value


def as_number(value: object, where: str) -> float:
    """:raises Flaw: unless ``value`` is a finite number."""
    try:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        msg = f"{where} must be a finite number, found {str(value)[:40]}"
        raise Flaw(msg)
    return number
