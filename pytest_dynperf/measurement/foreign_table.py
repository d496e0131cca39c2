"""JSON objects of other tools, read by key: what is missing is ``None``, what is of another type is an error that says where."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from pytest_dynperf.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """An object and where it stands: ``file`` (with the line where there is one) and the dotted ``key`` that leads to it. ``null`` reads
    as missing, because tools write it for what they do not know.
    """

    file: str
    key: str
    data: Mapping[str, object]

    def number(self, name: str) -> float | None:
        """A finite number.

        :raises UsageError: for anything else, NaN included.
        """
        value = self.data.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self.refuse(name, value, "a finite number")
        return float(value)

    def text(self, name: str) -> str | None:
        """A text that is not empty.

        :raises UsageError: for anything but a text.
        """
        value = self.data.get(name)
        if value is not None and not isinstance(value, str):
            self.refuse(name, value, "a text")
        return value or None

    def table(self, name: str) -> Table | None:
        """The object under ``name``.

        :raises UsageError: for anything but an object.
        """
        value = self.data.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.refuse(name, value, "an object")
        return Table(file=self.file, key=self._path(name), data=value)

    def rows(self, name: str) -> list[object]:
        """The list under ``name``; empty where it is missing.

        :raises UsageError: for anything but a list.
        """
        value = self.data.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.refuse(name, value, "a list")
        return value

    def row(self, key: str, value: object) -> Table:
        """An entry of a list of objects, under the name by which errors call it.

        :raises UsageError: for anything but an object.
        """
        if not isinstance(value, dict):
            self.refuse(key, value, "an object")
        return Table(file=self.file, key=self._path(key), data=value)

    def refuse(self, name: str, value: object, wanted: str) -> NoReturn:
        """:raises UsageError: naming file, key, what was found and what was wanted."""
        shown = json.dumps(value, default=str)
        msg = (
            f"{self.file}: key {self._path(name)!r} holds {shown if len(shown) <= 60 else shown[:59] + '…'}, expected is {wanted}. "
            "If a newer version of the tool wrote the file, import its older format or report this."
        )
        raise UsageError(msg)

    def _path(self, name: str) -> str:
        return f"{self.key}.{name}" if self.key else name


def parse(text: str | bytes, *, file: str) -> Table:
    """The object that ``text`` is; ``file`` is only named.

    :raises UsageError: for text that is no JSON, or no object.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"{file}: not JSON: {error}. A run that was killed may leave half a file: import the others."
        raise UsageError(msg) from error
    if not isinstance(data, dict):
        msg = f"{file}: holds {type(data).__name__}, expected is a JSON object"
        raise UsageError(msg)
    return Table(file=file, key="", data=data)
