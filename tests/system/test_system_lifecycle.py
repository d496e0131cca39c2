"""A service of the real stack that ends on its own, and a deployment that takes too long: in whole runs of pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.kills.session import finish, start, write_suite

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.kills.session import Session

pytestmark = pytest.mark.system

TIMEOUT_S = 180.0
ENDING = """
import subprocess, threading, time

def {name}(perf):
    from pytest_dynperf.plugin.state import STATE
    state = perf._state

    def end() -> None:
        while not any(state.make_settings().run_directory.glob("records/*/*/run-1.jsonl*")):
            time.sleep(0.01)
        frontend = state.conduct.deployments._candidate.running.services["frontend"]
        frontend.running.process.terminate()

    if "c1" in perf.case.case_id:
        threading.Thread(target=end, daemon=True).start()
    began = time.monotonic()
    perf.measure()
    perf.check()
"""


def measured(root: Path, test: str | None, *arguments: str) -> tuple[Session, dict[str, str]]:
    """The session, and the reasons of each case by its id."""
    write_suite(root, None)
    if test is not None:
        (root / "suites" / "ended" / "test_ended.py").write_text(test)
    session = start(root, root / "leases", arguments)
    assert finish(session, TIMEOUT_S), session.output()
    report = session.report()
    assert report is not None, session.output()
    assert report["complete"] is True, session.output()
    return session, {case["case_id"]: " ".join(case["verdict"]["reasons"]) for case in report["cases"]}


def test_a_service_that_ends_in_good_order_is_an_incident_too(tmp_path: Path) -> None:
    """Dynamo's frontend ends with status 0 on SIGTERM. The run is over at once, and the next case has a new deployment."""
    requests = "--dynperf-set=traffic.requests=3000"
    session, reasons = measured(tmp_path, ENDING.format(name="test_ended"), requests, "-k", "c1")
    (said,) = reasons.values()
    assert "service frontend ended with exit status 0, although nobody asked it to" in said
    assert "frontend.log ends:" in said
    assert session.process.returncode == 1, session.output()


def test_a_deployment_that_takes_too_long_says_what_it_waited_for(tmp_path: Path) -> None:
    session, reasons = measured(tmp_path, None, "--dynperf-case-timeout=1")
    assert len(reasons) == 2, "the next case goes on"
    for text in reasons.values():
        assert "when they were over it was" in text
        assert "waiting for ready: " in text or "deploying mocker" in text
    assert session.process.returncode == 1, session.output()
    assert not any((tmp_path / "reports").glob("2*/deployments/*/state"))
