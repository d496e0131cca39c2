"""A session that was cut short keeps its verdicts, lists what is missing, accepts nothing and does not exit with 0."""

from __future__ import annotations

import inspect
from contextlib import suppress
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.plugin.recorder import drop_entries_without_line
from tests.fakes.sse_server import Behaviour, sse_server

if TYPE_CHECKING:
    from tests.plugin.conftest import Bench

QUICK = Behaviour(ttft_s=0.002, itl_s=0.001)
STOPPED = """
import pytest
def test_fake(perf):
    if "c2" in perf.case.case_id:
        {action}
    perf.measure()
    perf.check()
"""


def test_an_exit_in_the_middle(bench: Bench) -> None:
    bench.write("test_fake.py", STOPPED.format(action="pytest.exit('enough', returncode=0)"))
    with sse_server(QUICK) as server:
        run = bench.run("--update-baselines", url=server.url)
    assert run.session["complete"] is False
    assert "enough" in run.session["interrupted"]
    assert run.session["missing"] == ["fake_suite/agg-isl64-osl8-c2"]
    assert run.outcomes() == {"agg-isl64-osl8-c1": "no baseline"}
    assert bench.baseline_files() == []
    assert run.code != 0, run.text
    assert "incomplete" in run.text


def test_an_exception_of_the_test_itself_is_missing_and_not_a_verdict(bench: Bench) -> None:
    bench.write("test_fake.py", STOPPED.format(action="raise RuntimeError('mine')"))
    with sse_server(QUICK) as server:
        run = bench.run("--update-baselines", url=server.url)
    assert run.code == 1
    assert run.session["missing"] == ["fake_suite/agg-isl64-osl8-c2"]
    assert bench.baseline_files() == []


def test_a_case_that_is_skipped_on_purpose_is_not_missing(bench: Bench) -> None:
    bench.write("test_fake.py", STOPPED.format(action="pytest.skip('no need')"))
    with sse_server(QUICK) as server:
        run = bench.run(url=server.url)
    assert run.code == 0, run.text
    assert run.session["complete"] is True
    assert run.session["missing"] == []


def test_maxfail_leaves_the_rest_missing(bench: Bench) -> None:
    with sse_server(models_body=b"<html>hello</html>", models_content_type="text/html") as server:
        run = bench.run("-x", url=server.url)
    assert run.code == 1
    assert run.session["missing"] == ["fake_suite/agg-isl64-osl8-c2"]


def test_an_interrupt_at_an_instruction_without_a_line_can_be_printed() -> None:
    def scene() -> FrameType:
        frame = inspect.currentframe()
        assert frame is not None
        with suppress(ValueError):
            pass
        return frame

    frame = scene()
    index = next(place for place, (line, *_) in enumerate(frame.f_code.co_positions()) if line is None)
    nowhere = TracebackType(None, frame, index * 2, -1)
    line: object = nowhere.tb_lineno
    assert line is None, "the planted defect"
    error = KeyboardInterrupt("SIGTERM")
    excinfo = pytest.ExceptionInfo.from_exception(error.with_traceback(TracebackType(nowhere, frame, 0, frame.f_lineno)))
    with pytest.raises(TypeError):
        excinfo.getrepr()
    drop_entries_without_line(excinfo)
    assert "KeyboardInterrupt: SIGTERM" in str(excinfo.getrepr())
