"""Extension points: each one documented, each one called, each bad answer named; the example package of the docs is installed and run."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
import threading
from contextlib import nullcontext
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import pluggy
import pytest

from pytest_dynperf import Endpoint, hookspecs
from pytest_dynperf.plugin.extensions import collect_extensions, with_sections
from pytest_dynperf.scenario.traffic import Workload
from pytest_dynperf.telemetry.watch import watched
from pytest_dynperf.workload.prompt_calibrated import CalibratedPrompts
from pytest_dynperf.workload.stream import requests_of
from tests.fakes.session_reports import a_case, a_report, a_result
from tests.house.markdown import DOCS, ROOT, code_in, read

if TYPE_CHECKING:
    from pathlib import Path

HOOKS = {name: value for name, value in vars(hookspecs).items() if name.startswith("pytest_dynperf_")}
EXAMPLE = DOCS / "examples" / "dynperf-echo"
LAX = [
    f"--dynperf-set=expect.{bound}"
    for bound in ("max_send_lag_s=60", "max_receive_lag_s=60", "min_in_flight_share=0.01", "max_uncertain_share=0.99")
] + ["--dynperf-set=traffic.osl=4"]
"""Timings must not decide a test: whatever this machine does to the generator is allowed here."""


# ---- documented


def undocumented(page: str) -> list[str]:
    """Hooks that have no section of their own on ``page``, with every argument named in it."""
    sections = dict(re.findall(r"^## `?(pytest_dynperf_\w+)`?\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    return [
        name
        for name, hook in HOOKS.items()
        if name not in sections or not set(inspect.signature(hook).parameters) <= set(re.findall(r"\w+", " ".join(code_in(sections[name]))))
    ]


def test_every_hook_is_documented_with_its_arguments() -> None:
    assert undocumented(read("hooks.md")) == []


def test_a_hook_that_nobody_documents_is_found() -> None:
    page = read("hooks.md")
    assert undocumented(page.replace("## `pytest_dynperf_metrics`", "## Metrics")) == ["pytest_dynperf_metrics"]
    assert undocumented(page.replace("`directory`", "it")) == ["pytest_dynperf_baseline_store", "pytest_dynperf_judged"]


def test_the_page_names_no_hook_that_there_is_not() -> None:
    assert set(re.findall(r"\bpytest_dynperf_[a-z_]+", read("hooks.md"))) == set(HOOKS)


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_has_an_example_and_says_what_it_gives(name: str) -> None:
    text = inspect.getdoc(HOOKS[name]) or ""
    assert f"def {name}(" in text
    assert "return" in inspect.signature(HOOKS[name]).__class__.__annotations__ or HOOKS[name].__annotations__["return"]


def test_hooks_are_called_in_one_place() -> None:
    asked = re.compile(r"\.hook\b|pytest_dynperf_(?:" + "|".join(name.removeprefix("pytest_dynperf_") for name in HOOKS) + r")\b")
    callers = {
        str(path.relative_to(ROOT / "pytest_dynperf"))
        for path in (ROOT / "pytest_dynperf").rglob("*.py")
        if asked.search(path.read_text(encoding="utf-8"))
    }
    assert callers == {"hookspecs.py", "plugin/extensions.py"}


# ---- the code of the page


def blocks(page: str) -> dict[str, str]:
    """Python code of ``page`` by the heading above it."""
    sections = re.split(r"^###? `?([\w ]+?)`?$", page, flags=re.MULTILINE)
    found = {
        heading: re.findall(r"```python\n(.*?)```", text, re.DOTALL) for heading, text in zip(sections[1::2], sections[2::2], strict=True)
    }
    return {heading: codes[0] for heading, codes in found.items() if codes}


BLOCKS = blocks(read("hooks.md"))


def plugin_of(heading: str, monkeypatch: pytest.MonkeyPatch) -> pluggy.PluginManager:
    """A manager with one plugin, the code below ``heading``."""
    manager = pluggy.PluginManager("pytest")
    manager.add_hookspecs(hookspecs)
    plugin = ModuleType("theirs")
    exec(compile(BLOCKS[heading], "hooks.md", "exec"), vars(plugin))
    for name in HOOKS.keys() & vars(plugin).keys():
        setattr(plugin, name, pytest.hookimpl(vars(plugin)[name]))
    manager.register(plugin, "theirs")
    return manager


def test_every_section_has_code() -> None:
    assert set(BLOCKS) == set(HOOKS) - {"pytest_dynperf_judged"} | {"Prometheus", "MLflow"}


@pytest.mark.parametrize("heading", [name for name in HOOKS if name != "pytest_dynperf_judged"])
def test_the_code_of_a_section_gives_what_can_be_used(heading: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config: Any = SimpleNamespace(pluginmanager=plugin_of(heading, monkeypatch))
    found = collect_extensions(config, baselines=tmp_path)
    report, trouble = with_sections(config, a_report(a_result()))
    assert trouble == []
    given = {
        "launchers": found.launchers,
        "engines": found.engines,
        "workloads": found.workloads,
        "metrics": found.metrics,
        "telemetry": found.watches,
        "environment": found.facts(a_case(), Endpoint(base_url="http://127.0.0.1:1", model="m")),
        "report_sections": report.sections,
        "baseline_store": "def keep(" in BLOCKS[heading],  # its directory is not there, so it gives nothing
    }
    assert [name for name, value in given.items() if value] == [heading.removeprefix("pytest_dynperf_")]


def test_the_telemetry_of_the_page_reads() -> None:
    namespace: dict[str, Any] = {}
    exec(compile(BLOCKS["pytest_dynperf_telemetry"], "hooks.md", "exec"), namespace)
    with watched(Endpoint(base_url="http://127.0.0.1:1", model="m"), namespace["pytest_dynperf_telemetry"]()) as finish:
        [series], notes = finish()
    assert notes == ()
    assert (series.id, len(series.values)) == ("load:average", 2)


def test_the_workload_of_the_page_asks_the_same_twice() -> None:
    namespace: dict[str, Any] = {}
    exec(compile(BLOCKS["pytest_dynperf_workloads"], "hooks.md", "exec"), namespace)
    traffic = replace(a_case().traffic, workload=Workload(kind="short-and-long"), isl=100)
    makers = namespace["pytest_dynperf_workloads"]()
    once, again = (
        list(islice(requests_of(traffic, CalibratedPrompts(template_tokens=10, turn_tokens=4), seed=1, root=ROOT, makers=makers), 8))
        for _ in range(2)
    )
    assert once == again
    assert [request.isl for request in once] == [100, 100, 100, 400] * 2


class Gateway(BaseHTTPRequestHandler):
    """Takes what is pushed."""

    taken: ClassVar[list[str]] = []

    def do_PUT(self) -> None:
        self.taken.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Nothing."""


def test_prometheus_is_pushed_the_medians(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("PUSHGATEWAY", f"127.0.0.1:{server.server_port}")
        try:
            plugin_of("Prometheus", monkeypatch).hook.pytest_dynperf_judged(report=a_report(a_result()), directory=tmp_path)
        finally:
            server.shutdown()
            thread.join()
    [text] = Gateway.taken
    assert 'perf_outcome{case="' in text
    assert re.search(r'^perf_median\{.*metric="inter_token_latency.v1",statistic="p50",.*\} [0-9.]+', text, re.MULTILINE)


def test_mlflow_is_told_the_medians_and_given_the_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[tuple[object, ...]] = []
    standin = ModuleType("mlflow")
    vars(standin).update(
        set_experiment=lambda name: told.append(("experiment", name)),
        start_run=lambda run_name, tags: nullcontext(),
        log_metric=lambda name, value: told.append((name, value)),
        log_artifacts=lambda directory: told.append(("artifacts", directory)),
    )
    monkeypatch.setitem(sys.modules, "mlflow", standin)
    result = a_result()
    plugin_of("MLflow", monkeypatch).hook.pytest_dynperf_judged(report=a_report(result), directory=tmp_path)
    assert told[0] == ("experiment", "dynperf")
    assert told[-1] == ("artifacts", str(tmp_path))
    assert {name for name, _ in told[1:-1]} == {
        f"{result.case.name}/{cell.cell.metric}/{cell.cell.statistic}" for cell in result.verdict.cells
    }


# ---- the example package


def run_suite(directory: Path, *arguments: str) -> tuple[int, str, dict[str, Any]]:
    """Exit status, output and session.json of a pytest run below ``directory``, with what is installed in its ``site``."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith(("PYTEST_", "PYTHONPATH"))}
    temporary = directory / "tmp"
    temporary.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "suite", "-p", "no:cacheprovider", "--gpu=echo", *LAX, *arguments],
        cwd=directory,
        env=environment
        | {"PYTHONPATH": str(directory / "site"), "TMPDIR": str(temporary), "DYNPERF_LEASE_DIRECTORY": str(temporary / "leases")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    session = directory / "reports" / "latest" / "session.json"
    return done.returncode, done.stdout + done.stderr, json.loads(session.read_text()) if session.is_file() else {}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the example's suite, and the example package installed into its directory ``site``, offline."""
    directory = tmp_path_factory.mktemp("echo")
    source = directory / "source"
    for path in (*EXAMPLE.rglob("*.py"), *EXAMPLE.rglob("*.toml")):
        if "__pycache__" not in path.parts:
            copy = source / path.relative_to(EXAMPLE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(directory / "site"), str(source)], check=True, timeout=120)
    (source / "suite").rename(directory / "suite")
    (directory / "pyproject.toml").touch()
    return directory


@pytest.mark.system
def test_the_example_package_adds_an_engine_a_metric_and_a_section(installed: Path) -> None:
    code, text, session = run_suite(installed, "--update-baselines")
    assert code == 0, text
    [case] = session["cases"]
    assert case["topology"]["engine"] == "echo"
    assert case["environment"]["provenance"]["echo.version"] == "0.1.0"
    [metric] = [one for one in case["metrics"] if (one["id"], one["statistic"]) == ("longest_gap.v1", "p50")]
    assert (metric["unit"], len(metric["values"])) == ("s", 3)
    assert all(value > 0.004 for value in metric["values"])  # the server waits 5 ms between two words
    page = (installed / "reports" / "latest" / "report.html").read_text(encoding="utf-8")
    assert "Stutter" in page
    assert "what a reader notices as a stutter" in page
    [document] = (installed / "baselines").rglob("*.json")
    assert json.loads(document.read_text())["metrics"]["longest_gap.v1"] == {
        "unit": "s",
        "direction": "lower is better",
        "kind": "magnitude",
    }

    code, text, session = run_suite(installed, "--dynperf-set=topology.worker.args=--itl-ms 30")
    assert code == 1, text
    assert session["cases"][0]["verdict"]["outcome"] == "regressed"
    [cell] = [one["verdict"] for one in session["cases"][0]["metrics"] if (one["id"], one["statistic"]) == ("longest_gap.v1", "p50")]
    assert (cell["outcome"], cell["decisive"]) == ("regressed", True)
    assert "longest_gap p50" in text


@pytest.mark.system
def test_an_answer_that_cannot_be_used_ends_the_session_before_the_first_test(installed: Path, tmp_path: Path) -> None:
    for name in ("suite", "site"):
        (tmp_path / name).symlink_to(installed / name)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "conftest.py").write_text("def pytest_dynperf_launchers():\n    return ['slurm']\n")
    code, text, session = run_suite(tmp_path)
    assert code == 4, text
    assert "pytest_dynperf_launchers gave ['slurm'], expected is a dictionary of names (such as 'my-launcher')" in text
    assert session == {}


CONFTEST = """
import contextlib, itertools, json, random, shutil, time
from pathlib import Path

HERE = Path(__file__).parent


def pytest_dynperf_launchers():
    return {"ours": start}


def start(call):
    from echo_extension.plugin import pytest_dynperf_engines
    from pytest_dynperf.deployment.extension_start import start_engine

    engine = pytest_dynperf_engines()["echo"]
    return start_engine(call.topology, engine, directory=call.directory, log_path=call.log_path, session=call.session)


def pytest_dynperf_workloads():
    return {"ours": requests}


def requests(call):
    from pytest_dynperf.workload.request import Request

    for index in itertools.count():
        isl = call.traffic.isl + index % 2
        content = call.source.assemble((), isl, random.Random(f"{call.seed}-{index}"))
        yield Request(index=index, content=content, isl=isl, osl=call.traffic.osl)


def pytest_dynperf_telemetry():
    return {"ours": watch}


@contextlib.contextmanager
def watch(endpoint):
    from pytest_dynperf.observation.series import Series, SeriesKind

    yield lambda: [Series(id="ours:one", source="here", kind=SeriesKind.GAUGE, stamps_ns=(time.monotonic_ns(),), values=(1.0,))]


def pytest_dynperf_metrics():
    from pytest_dynperf.metrics.definition import MetricDefinition
    from pytest_dynperf.quantity import Absent, Direction, Unit

    def seen(recording, facts):
        found = [series.values[0] for series in recording.series if series.id == "ours:one"]
        return found[0] if found else Absent("nothing was read")

    words = {"formula": "what was read", "source": "this file"}
    return [MetricDefinition(id="ours.v1", unit=Unit.RATIO, direction=Direction.NEITHER, prior_sd=0.1, value=seen, **words)]


def pytest_dynperf_environment(case, endpoint):
    from pytest_dynperf.environment import Facts

    return Facts(key={"rack": "b7"}, provenance={"case": case.case_id})


class Store:
    def fetch(self, directory):
        with (HERE / "fetched").open("a") as file:
            file.write("once\\n")

    def keep(self, directory, documents):
        for document in documents:
            shutil.copyfile(document, HERE / "kept.json")


def pytest_dynperf_baseline_store(directory):
    return Store()


def pytest_dynperf_judged(report, directory):
    (HERE / "judged.json").write_text(json.dumps([[one.case.name, one.verdict.outcome.text] for one in report.results]))
    raise ConnectionError("dashboard")
"""


@pytest.mark.system
def test_every_other_hook_takes_part_in_a_session_across_processes(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "suite").symlink_to(installed / "suite")
    (tmp_path / "site").symlink_to(installed / "site")
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "conftest.py").write_text(CONFTEST)
    arguments = ("-n", "1", "--dynperf-launcher=ours", "--dynperf-set=traffic.workload.kind=ours", "--update-baselines")
    code, text, session = run_suite(tmp_path, *arguments)
    assert code == 0, text
    assert "conftest.py': pytest_dynperf_judged raised ConnectionError: dashboard" in text
    [case] = session["cases"]
    assert case["environment"]["key"]["rack"] == "b7"
    assert case["environment"]["provenance"]["case"] == case["case_id"]
    values = {one["id"]: one["values"] for one in case["metrics"] if one["statistic"] in ("value", "mean")}
    assert values["ours.v1"] == [1.0, 1.0, 1.0]
    assert all(32 < value < 33 for value in values["input_sequence_length.v1"])
    assert (tmp_path / "fetched").read_text() == "once\n"
    assert json.loads((tmp_path / "kept.json").read_text())["key"]["rack"] == "b7"
    assert json.loads((tmp_path / "judged.json").read_text()) == [[f"suite/{case['case_id']}", "no baseline"]]
