"""What an extension reads while requests are measured: opened before the first one, asked once after the last, closed on every path."""

from __future__ import annotations

import math
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, TypeAlias

from pytest_dynperf.observation.series import Series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from pytest_dynperf.endpoint import Endpoint

    Watch: TypeAlias = Callable[[Endpoint], AbstractContextManager[Callable[[], Iterable[Series]]]]


@contextmanager
def watched(endpoint: Endpoint, watches: Mapping[str, Watch]) -> Iterator[Callable[[], tuple[tuple[Series, ...], tuple[str, ...]]]]:
    """Open every watch of ``watches``, by name. What is yielded, called once, gives their series, and notes of what went wrong: as with the
    metrics of servers, what cannot be read explains nothing, and fails nothing.
    """
    readers: dict[str, Callable[[], Iterable[Series]]] = {}
    notes: list[str] = []

    def finish() -> tuple[tuple[Series, ...], tuple[str, ...]]:
        found: list[Series] = []
        for name, read in readers.items():
            try:
                series = tuple(read())
                complaint = next((flaw for one in series if (flaw := flaw_of(one, name)) is not None), None)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the extension's
                series, complaint = (), f"{type(error).__name__}: {error}"
            if complaint is None:
                found += series
            else:
                notes.append(f"the telemetry {name!r} of an extension gave nothing: {complaint}")
        return tuple(found), tuple(notes)

    with ExitStack() as stack:
        for name, watch in watches.items():
            try:
                readers[name] = stack.enter_context(watch(endpoint))
            except Exception as error:  # noqa: BLE001 - as above
                notes.append(f"the telemetry {name!r} of an extension did not start: {type(error).__name__}: {error}")
        yield finish


def flaw_of(series: object, name: str) -> str | None:
    """Why ``series`` of the watch ``name`` cannot be used, or ``None``."""
    if not isinstance(series, Series):
        return f"found {series!r}, expected Series"
    if not series.id.startswith(f"{name}:"):
        return f"the id {series.id!r} must begin with '{name}:', so that it cannot be taken for one of ours"
    if len(series.stamps_ns) != len(series.values):
        return f"{series.id} has {len(series.stamps_ns)} stamps and {len(series.values)} values"
    if any(later <= earlier for earlier, later in zip(series.stamps_ns, series.stamps_ns[1:], strict=False)):
        return f"the stamps of {series.id} do not rise"
    return None if all(map(math.isfinite, series.values)) else f"{series.id} has a value that is not finite"
