"""``-n 2``: the same results, one report; and what happens when an xdist worker dies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.fakes.sse_server import Behaviour, sse_server

if TYPE_CHECKING:
    import pytest

    from tests.fakes.sse_server import SseServer
    from tests.plugin.conftest import Bench

QUICK = Behaviour(ttft_s=0.002, itl_s=0.001)


CRASHING = """
import os
def test_fake(perf):
    if "c2" in perf.case.case_id:
        os.kill(os.getpid(), 9)
    perf.measure()
    perf.check()
"""


def _prompts(server: SseServer) -> set[str]:
    return {request.body["messages"][0]["content"] for request in server.requests}


def test_two_xdist_workers_make_one_report(bench: Bench) -> None:
    with sse_server(QUICK) as server:
        accepted = bench.run("-n", "2", "--update-baselines", url=server.url)
        assert accepted.code == 0, accepted.text
        assert len(bench.baseline_files()) == 2
        judged = bench.run("-n", "2", url=server.url)
    assert judged.code == 0, judged.text
    reports = [path for path in (bench.root / "reports").iterdir() if not path.is_symlink()]
    assert len(reports) == 2
    assert set(judged.outcomes()) == {"agg-isl64-osl8-c1", "agg-isl64-osl8-c2"}
    assert judged.session["complete"] is True
    assert "platform attached" in judged.text
    assert judged.text.count("report: ") == 1


def test_results_do_not_depend_on_how_many_processes_there_are(bench: Bench) -> None:
    with sse_server(QUICK) as server:
        one = bench.run("--dynperf-seed=7", url=server.url)
        prompts_of_one = _prompts(server)
        server.requests.clear()
        two = bench.run("--dynperf-seed=7", "-n", "2", url=server.url)
        prompts_of_two = _prompts(server)
    assert [case["case_id"] for case in one.session["cases"]] == [case["case_id"] for case in two.session["cases"]]
    measured = 30 * 3 * 2
    assert len(prompts_of_one & prompts_of_two) >= measured


def test_an_xdist_worker_that_crashes_leaves_an_incomplete_session(bench: Bench) -> None:
    bench.write("test_fake.py", CRASHING)
    with sse_server(QUICK) as server:
        run = bench.run("-n", "1", "--update-baselines", url=server.url)
    assert run.code != 0
    assert run.session["complete"] is False
    assert run.session["missing"] == ["fake_suite/agg-isl64-osl8-c2"]
    assert run.outcomes() == {"agg-isl64-osl8-c1": "no baseline"}
    assert bench.baseline_files() == [], "nothing of an incomplete session is accepted"


def test_the_controller_knows_the_variable_of_an_axis(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCURRENCIES", "3")
    with sse_server(QUICK) as server:
        run = bench.run("-n", "1", url=server.url)
    assert run.session["command"].startswith("CONCURRENCIES=3 pytest ")


def test_results_stand_in_the_junit_file(bench: Bench) -> None:
    with sse_server(QUICK) as server:
        bench.run("-n", "2", "--junit-xml=junit.xml", url=server.url)
    from xml.etree import ElementTree

    properties = list(ElementTree.parse(bench.root / "junit.xml").iter("property"))
    names = {json.loads(node.attrib["value"])["case_id"] for node in properties if node.attrib["name"] == "dynperf"}
    assert names == {"agg-isl64-osl8-c1", "agg-isl64-osl8-c2"}
