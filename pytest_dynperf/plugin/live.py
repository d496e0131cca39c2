"""One line that says what is being measured right now: on a terminal it is replaced, in a log it comes once a minute, at -q never."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from pytest_dynperf.load.run import Progress
    from pytest_dynperf.scenario.case import Case

TERMINAL_EVERY_S = 1.0
LOG_EVERY_S = 60.0


class Live:
    """Shows the line, or under xdist writes it where the controller finds it.

    ``say`` announces a step that takes time, ``progress`` is called from inside the load (at most twice a second) and returns in
    microseconds unless a line is due.
    """

    def __init__(self, config: pytest.Config, exchange: Path | None, xdist_worker: str | None) -> None:
        self._config = config
        self._exchange = exchange
        self._worker = xdist_worker
        self._silent = config.get_verbosity() < 0
        self._terminal = on_terminal(config)
        self._last_s = time.monotonic()
        self._width = 0
        self._step: _Step | None = None

    def say(self, text: str) -> None:
        """Announce a step: at once on a terminal and under xdist. One that goes on is said again with its time, once a minute."""
        self.over()
        if self._silent:
            return
        if self._terminal or self._worker:
            self._show(text)
        self._step = _Step(text, self._show)

    def progress(self, case: Case, run: int, runs: int, progress: Progress, what: str = "") -> None:
        """Show how far a run has come; ``what`` it is for stands beside the case (``pair 3/5 control``)."""
        self.over()
        now = time.monotonic()
        if self._silent or now - self._last_s < (TERMINAL_EVERY_S if self._terminal or self._worker else LOG_EVERY_S):
            return
        from pytest_dynperf.report.terminal import live_line

        share = progress.done / progress.total if progress.total else 0.0
        left = progress.elapsed_s / share * (runs - run + 1 - share) if share > 0 else None
        self._show(
            live_line(
                suite=case.suite,
                case_id=f"{case.case_id} · {what}" if what else case.case_id,
                run=run,
                runs=runs,
                share=(run - 1 + share) / runs,
                tokens_per_s=progress.tokens_per_s,
                seconds_left=left,
            )
        )

    def clear(self) -> None:
        """Remove the line from a terminal; the step that was announced is over."""
        self.over()
        if self._width:
            self._write("\r" + " " * self._width + "\r")
            self._width = 0
        if self._exchange is not None and self._worker is not None:
            (self._exchange / f"{self._worker}.live").unlink(missing_ok=True)

    def over(self) -> None:
        """The step that was announced is over: it is not said again."""
        step, self._step = self._step, None
        if step is not None:
            step.end()

    def _show(self, text: str) -> None:
        if self._silent:
            return
        self._last_s = time.monotonic()
        if self._worker is not None and self._exchange is not None:
            write_line(self._exchange / f"{self._worker}.live", text)
        elif self._terminal:
            columns = self._config.get_terminal_writer().fullwidth - 1
            shown = text[:columns]
            self._write("\r" + shown.ljust(self._width))
            self._width = len(shown)
        else:
            self._write(f"\n{text}\n")

    def _write(self, text: str) -> None:
        capture = self._config.pluginmanager.getplugin("capturemanager")
        writer = self._config.get_terminal_writer()
        if capture is None:
            writer.write(text, flush=True)
            return
        with capture.global_and_fixture_disabled():
            writer.write(text, flush=True)


class _Step:
    """Says once a minute that a step still goes on, from a thread that ends with it: who waits for a server cannot do it."""

    def __init__(self, text: str, show: Callable[[str], None]) -> None:
        self._text, self._show, self._began_s = text, show, time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dynperf step", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Say nothing more; returns when the thread has ended."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        from pytest_dynperf.report.wording import duration

        while not self._over.wait(LOG_EVERY_S):
            self._show(f"{self._text} · {duration(time.monotonic() - self._began_s)}")


def on_terminal(config: pytest.Config) -> bool:
    """Whether pytest writes to a terminal. Not asked of stdout: while a test runs, capturing has put a file in its place."""
    return bool(getattr(config.pluginmanager.getplugin("terminalreporter"), "isatty", False))


def write_line(path: Path, text: str) -> None:
    """Replace a small file atomically. No fsync: it is worth nothing after a crash, and load is being measured meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(text)
    temporary.replace(path)


class Relay:
    """In the controller: prints what the xdist workers say, from a thread that ends with the session."""

    def __init__(self, config: pytest.Config, exchange: Path) -> None:
        self._config = config
        self._exchange = exchange
        self._every_s = 15.0 if on_terminal(config) else LOG_EVERY_S
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dynperf live lines", daemon=True)

    def start(self) -> None:
        """Begin to print, unless the run is quiet."""
        if self._config.get_verbosity() >= 0:
            self._thread.start()

    def stop(self) -> None:
        """Print no more; returns when the thread has ended."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            for path in sorted(self._exchange.glob("*.live")):
                try:
                    text = path.read_text()
                except OSError:
                    continue  # the worker has just replaced or removed it
                self._config.get_terminal_writer().line(f"\n[{path.stem}] {text}")
