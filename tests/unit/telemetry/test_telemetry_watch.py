"""What extensions read during a run: opened, asked once, closed on every path; what goes wrong is a note."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.observation.series import Series, SeriesKind
from pytest_dynperf.telemetry.watch import watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENDPOINT = Endpoint(base_url="http://127.0.0.1:1", model="m")


def series(name: str = "power:watts", stamps: tuple[int, ...] = (1, 2), values: tuple[float, ...] = (5.0, 6.0)) -> Series:
    return Series(id=name, source="meter", kind=SeriesKind.GAUGE, stamps_ns=stamps, values=values)


class Meter:
    """A watch that knows what was done to it."""

    def __init__(self, *given: object, failing: bool = False) -> None:
        self.given, self.failing, self.done = given, failing, [""]

    @contextmanager
    def watch(self, endpoint: Endpoint) -> Iterator[Callable[[], tuple[object, ...]]]:
        if self.failing:
            raise OSError("no meter")
        self.done.append(f"opened for {endpoint.model}")
        try:
            yield lambda: self.given
        finally:
            self.done.append("closed")


def test_series_of_all_watches_come_and_they_are_closed() -> None:
    meter, other = Meter(series()), Meter(series("rack:watts"))
    with watched(ENDPOINT, {"power": meter.watch, "rack": other.watch}) as finish:  # type: ignore[dict-item]
        found, notes = finish()
    assert [one.id for one in found] == ["power:watts", "rack:watts"]
    assert notes == ()
    assert meter.done == other.done == ["", "opened for m", "closed"]


def test_a_run_that_fails_closes_them_too() -> None:
    meter = Meter(series())
    with pytest.raises(KeyError), watched(ENDPOINT, {"power": meter.watch}):  # type: ignore[dict-item]
        raise KeyError
    assert meter.done[-1] == "closed"


@pytest.mark.parametrize(
    ("meter", "said"),
    [
        (Meter(failing=True), "the telemetry 'power' of an extension did not start: OSError: no meter"),
        (Meter(3), "gave nothing: found 3, expected Series"),
        (Meter(series("watts")), "the id 'watts' must begin with 'power:'"),
        (Meter(series(stamps=(1,))), "power:watts has 1 stamps and 2 values"),
        (Meter(series(stamps=(2, 2))), "the stamps of power:watts do not rise"),
        (Meter(series(values=(1.0, float("nan")))), "power:watts has a value that is not finite"),
    ],
    ids=["start", "no series", "id", "lengths", "stamps", "nan"],
)
def test_what_cannot_be_used_is_a_note_and_the_others_are_read(meter: Meter, said: str) -> None:
    with watched(ENDPOINT, {"power": meter.watch, "rack": Meter(series("rack:watts")).watch}) as finish:  # type: ignore[dict-item]
        found, [note] = finish()
    assert said in note
    assert [one.id for one in found] == ["rack:watts"]
