"""Workflows keep the rules of docs/ci.md, the linters find planted defects, and what the workflows run does what it says."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.fakes.workflow_job import ROOT, read_workflow
from tests.house.markdown import code_in, read

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

GITHUB = ROOT / ".github"
WORKFLOWS = {path.name: read_workflow(path) for path in sorted((GITHUB / "workflows").glob("*.yml"))}
JOBS = [pytest.param(job, id=f"{name}-{key}") for name, workflow in WORKFLOWS.items() for key, job in workflow["jobs"].items()]
MAY_WRITE = {
    ("nightly.yml", "propose"): {"contents", "pull-requests"},
    ("release.yml", "publish"): {"id-token", "attestations"},
    ("release.yml", "announce"): {"contents"},
    ("docs.yml", "publish"): {"pages", "id-token"},
}
"""What may be written, and by which job. Nothing that was installed runs there."""
LINT = ROOT / ".ci/lint_workflows.py"


def load(path: Path) -> ModuleType:
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


choose, notes, lint = load(GITHUB / "nightly/choose.py"), load(GITHUB / "release/notes.py"), load(LINT)


# ---- rules


def test_there_are_workflows() -> None:
    assert {"nightly.yml", "release.yml", "tests.yml"} <= set(WORKFLOWS)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_pinned_with_their_version_beside_them(name: str) -> None:
    text = (GITHUB / "workflows" / name).read_text(encoding="utf-8")
    uses = re.findall(r"uses: (.*)", text)
    assert uses
    assert [line for line in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


def test_an_action_has_one_version_everywhere() -> None:
    pins = {line for path in (GITHUB / "workflows").glob("*.yml") for line in re.findall(r"uses: (.*)", path.read_text(encoding="utf-8"))}
    assert len(pins) == len({line.partition("@")[0] for line in pins})


@pytest.mark.parametrize("job", JOBS)
def test_a_job_ends_some_time_and_before_it_the_sum_of_its_steps(job: dict[str, Any]) -> None:
    assert job["timeout-minutes"] >= sum(step.get("timeout-minutes", 0) for step in job["steps"])


@pytest.mark.parametrize("job", JOBS)
def test_no_step_puts_an_expression_into_a_script(job: dict[str, Any]) -> None:
    assert [step["run"] for step in job["steps"] if "${{" in step.get("run", "")] == []


def test_a_token_can_do_what_its_job_needs_and_no_more() -> None:
    written = {}
    for name, workflow in WORKFLOWS.items():
        assert workflow["permissions"] == {}, name
        for key, job in workflow["jobs"].items():
            scopes = {scope for scope, level in job.get("permissions", {}).items() if level == "write"}
            if scopes:
                written[name, key] = scopes
                assert all(
                    step.get("run", "").startswith(("bash .github/nightly/propose", "gh ")) for step in job["steps"] if "run" in step
                )
    assert written == MAY_WRITE


def test_gpus_of_our_own_run_nothing_of_a_pull_request() -> None:
    for name, workflow in WORKFLOWS.items():
        own = [job for job in workflow["jobs"].values() if "self-hosted" in job["runs-on"]]
        if own:
            assert set(workflow["on"]) <= {"schedule", "workflow_dispatch"}, name
    assert "self-hosted" in WORKFLOWS["nightly.yml"]["jobs"]["measure"]["runs-on"]


def test_a_measurement_is_not_cancelled_by_the_next() -> None:
    assert WORKFLOWS["nightly.yml"]["jobs"]["measure"]["concurrency"] == {"group": "gpu-${{ matrix.gpu }}", "cancel-in-progress": False}


def test_a_cancelled_measurement_is_told_so() -> None:
    """A runner signals the process of the step alone, so that has to be pytest."""
    (step,) = (step for step in WORKFLOWS["nightly.yml"]["jobs"]["measure"]["steps"] if "nightly/measure" in step.get("run", ""))
    assert step["run"] == "exec bash .github/nightly/measure"
    assert (GITHUB / "nightly/measure").read_text(encoding="utf-8").splitlines()[-1].startswith("exec .venv/bin/python -m pytest ")


def test_a_report_is_kept_whatever_happened() -> None:
    steps = WORKFLOWS["nightly.yml"]["jobs"]["measure"]["steps"]
    conditions = {step.get("name"): step.get("if") for step in steps}
    assert conditions["Keep the report"] == conditions["Sweep up after this session"] == "always()"


def test_the_gate_of_every_change_runs_on_hosted_machines() -> None:
    (job,) = WORKFLOWS["tests.yml"]["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12"]
    assert any("bash .ci/run" in step.get("run", "") for step in job["steps"])


def test_types_of_gpus_are_platforms_inputs_and_labels() -> None:
    inputs = WORKFLOWS["nightly.yml"]["on"]["workflow_dispatch"]["inputs"]
    assert inputs["gpu"]["options"] == ["all", *choose.GPUS]
    assert {f"{name}.toml" for name in choose.GPUS} <= {path.name for path in (ROOT / "suites/platforms").glob("*.toml")}
    said = yaml.safe_load((GITHUB / "actionlint.yaml").read_text(encoding="utf-8"))
    assert said["self-hosted-runner"]["labels"] == ["dynperf", *choose.GPUS]


def test_the_page_names_every_input_and_variable() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (GITHUB / "workflows").glob("*.yml"))
    variables = set(re.findall(r"vars\.(\w+)", text))
    assert len(variables) >= 4
    assert variables | set(WORKFLOWS["nightly.yml"]["on"]["workflow_dispatch"]["inputs"]) <= set(code_in(read("ci.md")))
    said = yaml.safe_load((GITHUB / "actionlint.yaml").read_text(encoding="utf-8"))
    assert set(said["config-variables"]) == variables


@pytest.mark.parametrize("path", sorted(path for path in GITHUB.glob("nightly/*") if not path.suffix), ids=lambda path: path.name)
def test_a_script_is_one(path: Path) -> None:
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0


# ---- issue forms


@pytest.mark.parametrize("path", sorted((GITHUB / "ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda path: path.name)
def test_an_issue_form_is_one(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert form["name"]
    assert form["description"]
    fields = [part for part in form["body"] if part["type"] != "markdown"]
    assert all(part["attributes"]["value"] for part in form["body"] if part["type"] == "markdown")
    assert {part["type"] for part in fields} <= {"textarea", "input", "dropdown", "checkboxes"}
    assert len({part["id"] for part in fields}) == len(fields)
    assert all(part["attributes"]["label"] for part in fields)
    assert all(part["attributes"]["options"] for part in fields if part["type"] == "dropdown")
    assert any(part["validations"]["required"] for part in fields)


@pytest.mark.parametrize(("name", "asked"), [("bug.yml", "session.json"), ("bug.yml", "dynperf doctor"), ("verdict.yml", "dynperf judge")])
def test_a_form_asks_for_what_is_needed(name: str, asked: str) -> None:
    assert asked in (GITHUB / "ISSUE_TEMPLATE" / name).read_text(encoding="utf-8")


# ---- the linters can be red

UNPINNED = """
name: unpinned
on: push
permissions: {}
jobs:
  a:
    name: a
    runs-on: [self-hosted, ours]
    steps:
      - uses: actions/checkout@v6
"""
INJECTION = """
name: injection
on: issues
permissions: {}
jobs:
  a:
    name: a
    runs-on: [self-hosted, theirs]
    steps:
      - run: echo ${{ github.event.issue.title }}
"""
SYNTAX = """
name: syntax
on: push
permissions: {}
jobs:
  a:
    name: a
    runs-on: ubuntu-24.04
    steps:
      - run: true
        shel: bash
        env:
          A: ${{ nothing.there }}
"""


def run_lint(root: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `make check` runs, on another tree."""
    return subprocess.run([sys.executable, LINT, root], text=True, capture_output=True, env=os.environ | environment, check=False)


def test_planted_defects_are_found(tmp_path: Path) -> None:
    directory = tmp_path / ".github/workflows"
    directory.mkdir(parents=True)
    (tmp_path / ".github/actionlint.yaml").write_text("self-hosted-runner: {labels: [ours]}\n", encoding="utf-8")
    for name, text in {"unpinned": UNPINNED, "injection": INJECTION, "syntax": SYNTAX}.items():
        (directory / f"{name}.yml").write_text(text, encoding="utf-8")
    done = run_lint(tmp_path)
    assert done.returncode == 1, done.stderr
    for found in ("unpinned-uses", "template-injection", 'unexpected key "shel"', 'undefined variable "nothing"', "potentially untrusted"):
        assert found in done.stdout
    assert 'label "theirs" is unknown' in done.stdout
    assert 'label "ours" is unknown' not in done.stdout


def test_without_node_it_fails_and_says_what_to_install(tmp_path: Path) -> None:
    if shutil.which("node", path=str(lint.BIN)):
        pytest.skip("Node.js is part of this environment")
    (tmp_path / ".github/workflows").mkdir(parents=True)
    (tmp_path / ".github/workflows/a.yml").write_text(SYNTAX, encoding="utf-8")
    done = run_lint(tmp_path, PATH="/nonexistent")
    assert done.returncode == 2
    assert "apt-get install nodejs npm" in done.stderr


def test_another_package_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "package.tgz"
    with tarfile.open(archive, "w:gz"):
        pass
    with pytest.raises(lint.Missing, match="not what was pinned"):
        lint.unpack(archive, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_where_there_is_nothing_to_lint_it_says_so(tmp_path: Path) -> None:
    assert "nothing was looked at" in lint.run_actionlint(tmp_path, tmp_path)[0]


# ---- what to measure


@pytest.mark.parametrize(
    ("environment", "gpus"),
    [
        ({"EVENT": "schedule", "RUNNERS": "h100, l40s"}, ["h100", "l40s"]),
        ({"EVENT": "schedule", "RUNNERS": ""}, []),
        ({"EVENT": "workflow_dispatch", "RUNNERS": "h100 l40s", "ASKED_GPU": "l40s"}, ["l40s"]),
        ({"EVENT": "workflow_dispatch", "RUNNERS": "h100 l40s", "ASKED_GPU": "all"}, ["h100", "l40s"]),
    ],
)
def test_gpus(environment: dict[str, str], gpus: list[str]) -> None:
    assert choose.choose_gpus(environment) == gpus


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"EVENT": "schedule", "RUNNERS": "h100 h999"}, "lists h999"),
        ({"EVENT": "workflow_dispatch", "RUNNERS": "", "ASKED_GPU": "all"}, "no GPU runners"),
        ({"EVENT": "workflow_dispatch", "RUNNERS": "l40s", "ASKED_GPU": "h100"}, "no runner has h100"),
    ],
)
def test_gpus_that_are_not_there(environment: dict[str, str], said: str) -> None:
    with pytest.raises(choose.Refused, match=said):
        choose.choose_gpus(environment)


@pytest.mark.parametrize(
    ("environment", "suites"),
    [
        ({}, ["suites/concurrency_sweep"]),
        ({"NIGHTLY_SUITES": "routing faults"}, ["suites/routing", "suites/faults"]),
        ({"NIGHTLY_SUITES": "routing", "ASKED_SUITES": "faults"}, ["suites/faults"]),
    ],
)
def test_suites(environment: dict[str, str], suites: list[str]) -> None:
    assert choose.choose_suites(environment, ROOT) == suites
    assert "suites/trace_replay" in choose.choose_suites({"ASKED_SUITES": "all"}, ROOT)


@pytest.mark.parametrize("asked", ["nothing_there", "../tests", "routing; id", "--collect-only"])
def test_a_suite_that_is_not_there_is_refused(asked: str) -> None:
    with pytest.raises(choose.Refused, match="there is no suite"):
        choose.choose_suites({"ASKED_SUITES": asked}, ROOT)


def test_no_suite_at_all_is_refused() -> None:
    # pytest without a path would run the tests of this repository on a GPU runner.
    with pytest.raises(choose.Refused, match="names no suite"):
        choose.choose_suites({"ASKED_SUITES": ","}, ROOT)


def test_engine_and_image() -> None:
    assert choose.choose_overrides({}) == []
    both = {"ASKED_ENGINE": "sglang", "ASKED_IMAGE": "example.org/sglang:1@sha256:00"}
    assert choose.choose_overrides(both) == [
        "--dynperf-set=topology.engine=sglang",
        "--dynperf-set=topology.image=example.org/sglang:1@sha256:00",
    ]
    for asked in ({"ASKED_ENGINE": "sglang"}, {"ASKED_ENGINE": "other"}, {"ASKED_IMAGE": "a b"}, {"ASKED_IMAGE": "--privileged"}):
        with pytest.raises(choose.Refused):
            choose.choose_overrides(asked)


def test_what_was_chosen_is_written_for_the_next_job(tmp_path: Path) -> None:
    environment = {"EVENT": "schedule", "RUNNERS": "h100", "GITHUB_OUTPUT": str(tmp_path / "output"), "PATH": os.environ["PATH"]}
    command = [sys.executable, str(GITHUB / "nightly/choose.py")]
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "output").read_text(encoding="utf-8") == 'gpus=["h100"]\nsuites=suites/concurrency_sweep\noverrides=\n'
    done = subprocess.run(command, cwd=ROOT, env=environment | {"ASKED_SUITES": "a\n::b"}, text=True, capture_output=True, check=False)
    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert line.startswith("::error::")


# ---- notes of a release


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A tree that is ready for version 1.2.3."""
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n', encoding="utf-8")
    (tmp_path / "changelog").mkdir()
    sections = "# Changelog\n\n## 1.2.3 (2026-01-02)\n\n### Features\n\n- New.\n\n## 1.2.2 (2026-01-01)\n\n- Old.\n"
    (tmp_path / "CHANGELOG.md").write_text(sections, encoding="utf-8")
    return tmp_path


def test_the_notes_are_the_section_of_the_version(release: Path) -> None:
    assert notes.notes("v1.2.3", release) == "### Features\n\n- New.\n"


def test_a_release_that_is_not_ready_is_refused(release: Path) -> None:
    with pytest.raises(notes.Refused, match=r"says version 1\.2\.3"):
        notes.notes("v1.2.4", release)
    (release / "changelog/+x.feature.md").write_text("X.", encoding="utf-8")
    with pytest.raises(notes.Refused, match="news fragments are left"):
        notes.notes("v1.2.3", release)
    (release / "changelog/+x.feature.md").unlink()
    (release / "CHANGELOG.md").write_text("# Changelog\n", encoding="utf-8")
    with pytest.raises(notes.Refused, match="no section"):
        notes.notes("v1.2.3", release)
