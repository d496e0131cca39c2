"""The live line: in place on a terminal, once a minute in a log, never at -q, with the xdist worker's name under -n."""

from __future__ import annotations

import io
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dynperf.load.progress import Progress
from pytest_dynperf.plugin import live
from pytest_dynperf.plugin.live import Live, Relay
from tests.fakes.session_reports import a_case

if TYPE_CHECKING:
    from pathlib import Path

HALF_WAY = Progress(run="run-2", done=15, total=30, tokens_per_s=800.0, elapsed_s=60.0)


class Writer(io.StringIO):
    """pytest's, as far as the line needs it."""

    fullwidth = 60

    def __init__(self) -> None:
        super().__init__()
        self.second, self.again = threading.Event(), threading.Event()

    def write(self, text: str, *, flush: bool = False) -> int:
        if text.startswith("\nstarting"):
            self.again.set()
        return super().write(text)

    def line(self, text: str) -> None:
        self.write(f"{text}\n")
        if "[gw1]" in text:
            self.second.set()


def config(*, terminal: bool, verbosity: int = 0) -> tuple[Any, Writer]:
    writer = Writer()
    plugins = {"terminalreporter": SimpleNamespace(isatty=terminal)}
    return SimpleNamespace(
        get_verbosity=lambda: verbosity,
        get_terminal_writer=lambda: writer,
        pluginmanager=SimpleNamespace(getplugin=plugins.get),
    ), writer


def told(line: Live) -> None:
    line.progress(a_case(), 2, 3, HALF_WAY)


def test_on_a_terminal_it_is_replaced_and_no_wider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "TERMINAL_EVERY_S", 0.0)
    session, writer = config(terminal=True)
    line = Live(session, None, None)
    told(line)
    line.say("short")
    line.clear()
    first, second, gone, end = writer.getvalue().split("\r")[1:]
    assert first == "concurrency_sweep agg-isl256-osl32-c4 · run 2/3 · 50 % · 800 tok/s"[:59]
    assert second == "short".ljust(len(first))
    assert (gone, end) == (" " * 5, "")


def test_in_a_log_a_line_is_due_after_a_minute_and_steps_are_not_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    assert live.LOG_EVERY_S == 60.0
    session, writer = config(terminal=False)
    line = Live(session, None, None)
    line.say("deploying")
    told(line)
    assert writer.getvalue() == ""
    monkeypatch.setattr(live, "LOG_EVERY_S", 0.0)
    told(line)
    assert writer.getvalue() == "\nconcurrency_sweep agg-isl256-osl32-c4 · run 2/3 · 50 % · 800 tok/s · 3 min left\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_at_q_nothing_is_said(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    monkeypatch.setattr(live, "TERMINAL_EVERY_S", 0.0)
    monkeypatch.setattr(live, "LOG_EVERY_S", 0.0)
    session, writer = config(terminal=terminal, verbosity=-1)
    line = Live(session, None, None)
    told(line)
    line.say("deploying")
    line.clear()
    assert writer.getvalue() == ""


def test_under_xdist_each_worker_has_a_line_with_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(live, "TERMINAL_EVERY_S", 0.0)
    monkeypatch.setattr(live, "LOG_EVERY_S", 0.01)
    of_worker, silent = config(terminal=False)
    workers = [Live(of_worker, tmp_path, name) for name in ("gw0", "gw1")]
    for worker in workers:
        told(worker)
    assert silent.getvalue() == "", "a worker's own output goes nowhere"
    session, writer = config(terminal=False)
    relay = Relay(session, tmp_path)
    relay.start()
    assert writer.second.wait(30)
    relay.stop()
    lines = [line for line in writer.getvalue().splitlines() if line]
    assert lines[0].startswith("[gw0] concurrency_sweep agg-isl256-osl32-c4 · run 2/3")
    assert lines[1].startswith("[gw1] concurrency_sweep")
    workers[0].clear()
    assert [path.name for path in tmp_path.iterdir()] == ["gw1.live"]


def test_a_step_that_goes_on_is_said_again_in_a_log_until_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOG_EVERY_S", 0.01)
    session, writer = config(terminal=False)
    line = Live(session, None, None)
    line.say("starting vllm")
    assert writer.again.wait(30), "nobody said that it still goes on"
    line.over()
    said = writer.getvalue()
    assert said.startswith("\nstarting vllm · ")
    line.say("the next one")
    told(line)
    threads = [thread.name for thread in threading.enumerate()]
    assert "dynperf step" not in threads, "progress takes over"
    line.clear()
