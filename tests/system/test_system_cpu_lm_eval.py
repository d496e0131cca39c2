"""lm-eval and our own client ask one real engine: they agree item by item, and of a server that dies on the way neither has an accuracy."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import psutil
import pytest

from pytest_dynperf.deployment.control import exchange
from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.installation.model_place import NOISES
from pytest_dynperf.load.run import run_load
from pytest_dynperf.metrics.accuracy import graded
from pytest_dynperf.scenario.topology import Topology
from pytest_dynperf.scenario.traffic import Traffic, Workload, flaw
from pytest_dynperf.session.lm_eval import VARIABLE, graded_by_lm_eval, lm_eval_python, where_they_differ
from pytest_dynperf.session.prompts import source_for
from pytest_dynperf.telemetry.prometheus import parse
from pytest_dynperf.workload.stream import requests_of
from tests.fakes.installed_cpu import installed_or_missing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.installation.found import Installed

pytestmark = pytest.mark.system

ITEMS = 128
ANSWERED = "vllm:request_success_total"
NOISY = Topology(engine="vllm", model=f"dynperf/tiny-noise-{max(NOISES)}")
"""The model with so much noise that it is wrong now and then: two that agree on right answers alone would agree on much."""


@pytest.fixture(scope="module")
def lm_eval() -> Path:
    """The interpreter of the lm-eval that the variable names, else of the installed one."""
    if os.environ.get(VARIABLE):
        return lm_eval_python(os.environ)
    return lm_eval_python({VARIABLE: str(installed_or_missing("lm-eval").python.with_name("lm_eval"))})


def questions(requests: int) -> Traffic:
    asked = Traffic(
        isl=1100, osl=8, concurrency=2, requests=requests, warmup_requests=0, ignore_eos=False, temperature=0.0,
        workload=Workload(kind="fact-table", limit=requests // 8),
    )  # fmt: skip
    assert flaw(asked) is None
    return asked


def answered(deployment: Deployment) -> float:
    """How many requests the engine has finished."""
    pages = [exchange("GET", url, timeout_s=10).body.decode() for name, url in deployment.endpoint.metrics_urls if name != "frontend"]
    return sum(sample.value for page in pages for sample in parse(page, wanted=[ANSWERED]).samples if sample.name == ANSWERED)


def test_they_agree_item_by_item(lm_eval: Path, installed: Installed, deployed: Callable[[Topology], Deployment], tmp_path: Path) -> None:
    deployment, asked = deployed(NOISY), questions(ITEMS)
    theirs = graded_by_lm_eval(lm_eval, deployment.endpoint, asked, root=tmp_path, directory=tmp_path / "lm-eval")
    requests = islice(requests_of(asked, source_for(deployment.endpoint, installed.model), seed=1, root=tmp_path), ITEMS)
    ours = run_load(deployment.endpoint, requests, asked, run="1", seed=1, records_path=None).measured
    differ = where_they_differ(theirs, ours, asked, root=tmp_path)
    grades = Counter(each.correct for each in theirs)
    assert differ == ()
    assert len(theirs) == len(ours) == ITEMS
    assert grades == Counter(graded(record) for record in ours)
    assert min(grades[True], grades[False]) >= 5, grades


def test_a_server_that_dies_in_the_middle_is_no_accuracy(lm_eval: Path, deployed: Callable[[Topology], Deployment], tmp_path: Path) -> None:
    deployment, asked = deployed(NOISY), questions(512)
    before = answered(deployment)
    killed: list[int] = []

    def kill_in_the_middle(_elapsed_s: float) -> None:
        if not killed and answered(deployment) - before >= 20:
            [worker] = [service for name, service in deployment.services.items() if name.startswith("worker")]
            killed.extend(worker.pids)
            for pid in worker.pids:
                psutil.Process(pid).kill()

    with pytest.raises(WorkloadError, match="there is no accuracy") as caught:
        graded_by_lm_eval(
            lm_eval, deployment.endpoint, replace(asked, request_timeout_s=20.0), root=tmp_path, directory=tmp_path / "out",
            progress=kill_in_the_middle,
        )  # fmt: skip
    assert killed, "it ended before 20 questions were answered"
    assert "The first of its requests that failed: " in str(caught.value), "the evidence is in the text"
    incident = deployment.incident()
    assert incident is not None
    assert "SIGKILL" in incident
    assert not (tmp_path / "out" / "samples.jsonl").exists(), "no accuracy of a part"
    commands = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert [command for command in commands if str(tmp_path) in command] == []
