"""Extension points: what a plugin, or a conftest.py beside the tests, can add to what is measured and to what is said about it.

A hook is asked once in a process, when a test first asks for a measurement, unless its text says otherwise. Each one returns values;
nothing is registered by import. What a hook returns that cannot be used is an error (exit code 4) that names the plugin, the hook and what
was expected, and so is an exception in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pytest_dynperf.deployment.extension_engine import Engine
    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.environment import Facts
    from pytest_dynperf.metrics.definition import MetricDefinition
    from pytest_dynperf.observation.series import Series
    from pytest_dynperf.report.section import Section
    from pytest_dynperf.report.session_report import SessionReport
    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.session.extensions import BaselineStore, LaunchCall
    from pytest_dynperf.workload.request import Request
    from pytest_dynperf.workload.stream import WorkloadCall


@pytest.hookspec
def pytest_dynperf_launchers() -> Mapping[str, Callable[[LaunchCall], Deployment]] | None:
    """Ways to start a topology, by the name that ``--dynperf-launcher=NAME`` takes::

        def pytest_dynperf_launchers():
            return {"slurm": start_on_slurm}

    ``start_on_slurm(call)`` starts ``call.topology``, returns when it serves, and gives back a ``Deployment``: an object with ``endpoint``,
    ``services`` (empty where nothing of it is a process of this host), ``key``, ``provenance``, ``incident()``, ``witness()`` and
    ``stop()``. GPUs of this host are not leased for it: a platform for GPUs that are elsewhere says ``gpu_count = 0``.

    Raise ``DeploymentError`` when it cannot be had: the case is then invalid, with that text.
    """


@pytest.hookspec
def pytest_dynperf_engines() -> Mapping[str, Engine] | None:
    """Engines, by the name that ``topology.engine`` takes: each one server with an OpenAI-compatible API, given as a command line::

        def pytest_dynperf_engines():
            return {"toy": Engine(command=lambda call: Launch(argv=("toy-server", "--port", str(call.port))))}

    The topology has to say ``served_by = "engine"``. It is started, watched and stopped as every service is, with a clean environment:
    variables that it needs stand in ``Launch.env``.
    """


@pytest.hookspec
def pytest_dynperf_workloads() -> Mapping[str, Callable[[WorkloadCall], Iterator[Request]]] | None:
    """Kinds of workload, by the name that ``traffic.workload.kind`` takes::

        def pytest_dynperf_workloads():
            return {"questions": questions}

        def questions(call):
            for index in itertools.count():
                content = call.source.assemble((), call.traffic.isl, random.Random(f"{call.seed}-{index}"))
                yield Request(index=index, content=content, isl=call.traffic.isl, osl=call.traffic.osl)

    Equal calls must give equal requests: both arms of a question, and a run that is measured again, ask the same. The function is called
    for every run, in the process that measures. Raise ``WorkloadError`` for what cannot be made.
    """


@pytest.hookspec
def pytest_dynperf_metrics() -> Sequence[MetricDefinition] | None:
    """Metrics, each with an id of its own such as ``first_chunk_size.v1``, unit, direction, formula, source and prior::

        def pytest_dynperf_metrics():
            return [FIRST_CHUNK]

    They are computed for every run, stand in session.json, in baselines and on the page, and can be gated as any other. What raises an
    exception in a run is absent there, with its text; a gate on it is then invalid. A formula that changes needs a new id (``.v2``).
    """


@pytest.hookspec
def pytest_dynperf_telemetry() -> Mapping[str, Callable[[Endpoint], AbstractContextManager[Callable[[], Iterable[Series]]]]] | None:
    """What is read while requests are measured, by a name of its own::

        def pytest_dynperf_telemetry():
            return {"power": watch_power}

        @contextlib.contextmanager
        def watch_power(endpoint):
            meter = Meter()
            try:
                yield meter.series
            finally:
                meter.close()

    Entered before the first request of every run and left after the last; what it yields is called once in between and gives series whose
    ids begin with the name (``power:watts``). Metrics of the same plugin find them in ``recording.series``. Whatever it raises becomes a
    note of the run and fails nothing. It runs in the process that measures, so it must not use the CPU that this needs.
    """


@pytest.hookspec
def pytest_dynperf_environment(case: Case, endpoint: Endpoint) -> Facts | None:
    """More facts of what was deployed for ``case``, asked each time that it is measured::

        def pytest_dynperf_environment(case, endpoint):
            return Facts(key={"rack": "b7"}, provenance={"kernel.cmdline": Path("/proc/cmdline").read_text().strip()})

    What stands in ``key`` binds: measurements that differ in it are incomparable. ``provenance`` explains, and is shown when it differs. A
    name that is told already is refused, and the case is then invalid.
    """


@pytest.hookspec(firstresult=True)
def pytest_dynperf_baseline_store(directory: Path) -> BaselineStore | None:
    """Where baselines are kept, if not in ``directory`` (that of ``--dynperf-baselines``) alone; the first answer counts::

        def pytest_dynperf_baseline_store(directory):
            return Bucket("s3://perf-baselines")

    ``fetch(directory)`` makes the directory hold what is kept, before anything is compared; what it raises ends the session before the
    first test. ``keep(directory, documents)`` is called once after documents were accepted; what it raises makes the exit status 1, because
    somebody believes that they are kept. Both run in the process that writes: once, also under pytest-xdist.
    """


@pytest.hookspec
def pytest_dynperf_report_sections(report: SessionReport) -> Sequence[Section] | None:
    """Sections at the end of report.html, asked once when every case is judged::

        def pytest_dynperf_report_sections(report):
            return [Section(title="Owners", columns=("case", "owner"), rows=(("a/b", "somebody"),))]

    Text is shown as it is, never as markup. An exception leaves the page without them and makes the exit status 1.
    """


@pytest.hookspec
def pytest_dynperf_judged(report: SessionReport, directory: Path) -> None:
    """Told once that a session is judged and its files are written to ``directory``: for dashboards, chats and experiment trackers::

        def pytest_dynperf_judged(report, directory):
            print(len(report.results), "cases in", directory)

    What it raises is said in the terminal and changes no verdict and no exit status: a dashboard that is down makes no night red.
    """
