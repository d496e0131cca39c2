"""One line about what goes on: how often, how wide, and gone at the end."""

from __future__ import annotations

import io

import pytest

from pytest_dynperf.command.live_line import LOG_EVERY_S, TERMINAL_EVERY_S, LiveLine, telling


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_terminal_has_one_line_that_is_replaced_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    stream, clock = Terminal(), Clock()
    live = LiveLine(stream, clock=clock)
    for text in ("a long line that does not fit", "short", "never: not due yet"):
        live.show(lambda text=text: text)  # type: ignore[misc]
        clock.now_s += TERMINAL_EVERY_S if text.startswith("a") else 0.0
    live.clear()
    assert stream.getvalue().split("\r") == ["", "a long line that do", "short".ljust(19), " " * 5, ""]


def test_a_log_has_a_line_every_ten_seconds_and_none_at_once() -> None:
    stream, clock = io.StringIO(), Clock()
    live = LiveLine(stream, clock=clock)
    for second in range(25):
        clock.now_s = float(second)
        live.show(lambda second=second: f"second {second}")  # type: ignore[misc]
    live.clear()
    assert LOG_EVERY_S == 10
    assert stream.getvalue() == "second 10\nsecond 20\n"


def test_a_text_that_is_not_due_is_not_made() -> None:
    LiveLine(io.StringIO(), clock=Clock()).show(lambda: pytest.fail("made"))


def test_what_is_told_stands_behind_what_is_done_and_is_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)

    def interrupted() -> None:
        with telling("reading") as told:
            told("a.json")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert stream.getvalue() == "\rreading a.json\r" + " " * len("reading a.json") + "\r"
