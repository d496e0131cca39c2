"""``--dynperf-set KEY=VALUE``: one value of a scenario or platform, changed from the command line. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.errors import ScenarioError
from pytest_dynperf.scenario.keys import Key, Value, find_key, read, read_list
from pytest_dynperf.scenario.known import BUILT_IN

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from pytest_dynperf.scenario.known import Known

OPTION = "--dynperf-set"


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """``option`` is the text as given, for messages and for the record."""

    option: str
    key: Key
    value: str


def parse_override(option: str) -> Override:
    """``traffic.isl=512`` → its key and the text of its value; everything after the first ``=`` is the value.

    :raises ScenarioError: without ``=`` or for an unknown key; names the option's text and the nearest known key.
    """
    name, equals, value = option.partition("=")
    if not equals:
        msg = f"{OPTION} {option}: has no '='; write KEY=VALUE, for example traffic.isl=512"
        raise ScenarioError(msg)
    return Override(option=option, key=find_key(name.strip(), where=f"{OPTION} {option}"), value=value)


def apply_override(
    override: Override, values: MutableMapping[str, Value], axes: MutableMapping[str, tuple[Value, ...]], *, known: Known = BUILT_IN
) -> None:
    """Changes ``values`` and ``axes`` in place. Arguments are appended (the last flag wins), on every value of an axis where they are
    one; a comma list replaces the values of an axis; every other value is replaced.

    :raises ScenarioError: when the text does not fit the key; names the option's text.
    """
    key, where = override.key, f"{OPTION} {override.option}"
    if key.is_arguments:
        added = _arguments(read(key, override.value, where=where, known=known))
        if key.name in axes:
            axes[key.name] = tuple(_arguments(value) + added for value in axes[key.name])
        else:
            values[key.name] = _arguments(values.get(key.name, ())) + added
    elif key.name in axes:
        axes[key.name] = read_list(key, override.value, where=where, known=known)
    else:
        values[key.name] = read(key, override.value, where=where, known=known)


def _arguments(value: Value) -> tuple[str, ...]:
    if not isinstance(value, tuple):
        msg = f"{value!r} is not a list of arguments"
        raise TypeError(msg)
    return value
