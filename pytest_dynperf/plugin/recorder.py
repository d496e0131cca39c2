"""Where results arrive: in the only process, or in the controller of a distributed run. One path serves both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.plugin.performance import FRAGMENT

if TYPE_CHECKING:
    from _pytest._code import TracebackEntry

    from pytest_dynperf.plugin.state import State
    from pytest_dynperf.report.session_report import SessionReport


class Interrupted:
    """In every process: Ctrl-C, or a signal that became one, ends what runs before anybody says a word about it."""

    def __init__(self, state: State) -> None:
        self._state = state

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self) -> None:
        """Give no service the time to end by itself: pytest-xdist gives its workers seconds."""
        self._state.heard()
        self._state.close(at_once=True)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """An xdist worker whose controller is gone stumbles over that and gets no further than here."""
        if self._state.xdist_worker is not None:
            self._state.let_session_go()


class Recorder:
    """Collects fragments as tests finish, and writes when the session does."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._report: SessionReport | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what rides on a finished test; the same fragment rides on every later phase too, and is taken again without effect."""
        from pytest_dynperf.plugin import summary

        if any(name == FRAGMENT for name, _value in report.user_properties):
            summary.take_fragment(self._state, report)
        elif self._state.node_ids:
            summary.take_skip(self._state, report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Ctrl-C, a signal that became one, or pytest.exit: the session is incomplete."""
        drop_entries_without_line(excinfo)
        if self._state.node_ids:
            text = str(excinfo.value)
            self._state.the_ledger().interrupted = self._state.received_signal or excinfo.typename + (f": {text}" if text else "")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """After the deployments are stopped: baselines and reports."""
        if self._state.ledger is None or session.config.getoption("dynperf_plan"):
            return
        from pytest_dynperf.plugin.summary import finish

        self._report = finish(self._state, session)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The last words: verdicts, counts, the report's path."""
        if self._report is not None:
            from pytest_dynperf.plugin.summary import show

            show(self._state, self._report, terminalreporter)


def drop_entries_without_line(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """A signal can strike at an instruction that CPython gives no line; pytest fails to print such an entry, and with that all the rest."""
    excinfo.traceback = excinfo.traceback.filter(_has_line)


def _has_line(entry: TracebackEntry) -> bool:
    try:
        return entry.lineno is not None
    except TypeError:
        return False
