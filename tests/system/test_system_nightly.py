"""The nightly's own steps on this machine: the job that measures, on the mocker, and the one that proposes, to a bare repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.fakes.workflow_job import ROOT, Runner, read_workflow

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

JOBS = read_workflow(ROOT / ".github/workflows/nightly.yml")["jobs"]
GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.example",
    "GITHUB_REPOSITORY": "people/project",
    "GITHUB_RUN_ID": "4711",
    "GITHUB_RUN_ATTEMPT": "1",
    "GITHUB_REF_NAME": "main",
    "GITHUB_REF": "refs/heads/main",
}
LAX = "max_send_lag_s=60 max_receive_lag_s=60 min_in_flight_share=0.01 max_uncertain_share=0.99"
"""Timings must not decide a test: whatever this machine does to the generator is allowed here."""
MAXIMUM_SUMMARY_BYTES = 900_000


def git(directory: Path, *arguments: str) -> str:
    """Output of git, without what this user has configured."""
    environment = os.environ | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
    return subprocess.run(command, cwd=directory, env=environment, text=True, capture_output=True, check=True).stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clean clone of as much of the project as a night needs, with a bare repository behind it."""
    source = tmp_path / "source"
    for part in (".github", "suites/concurrency_sweep"):
        shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in (".gitignore", "pyproject.toml", "baselines/README.md", "reports/.gitignore", "reports/README.md"):
        (source / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / part, source / part)
    git(source, "init", "--quiet", "--initial-branch=main")
    git(source, "add", "--all", "--force")
    git(source, "commit", "--quiet", "--message=all")
    git(tmp_path, "clone", "--quiet", "--bare", "source", "origin.git")
    git(tmp_path, "clone", "--quiet", "origin.git", "checkout")
    return tmp_path / "checkout"


def night(checkout: Path, tmp_path: Path, gpu: str) -> Runner:
    """The job that measures, as on a runner that is labelled ``gpu``."""

    def install() -> None:
        """The environment of the tests has what the step would install."""
        (checkout / ".venv").symlink_to(sys.prefix)
        (checkout / ".git/info/exclude").write_text(".venv\n", encoding="utf-8")

    runner = Runner(
        workspace=checkout,
        temporary=tmp_path / "runner",
        values={
            "matrix.gpu": gpu,
            "needs.choose.outputs.suites": "suites/concurrency_sweep",
            "needs.choose.outputs.overrides": " ".join(f"--dynperf-set=expect.{bound}" for bound in LAX.split()) if gpu == "mocker" else "",
            "inputs.launcher || 'auto'": "auto",
            "vars.DYNPERF_MODELS || '/srv/models/huggingface'": str(tmp_path / "models"),
            "inputs.update_baselines": True,
            "runner.temp": str(tmp_path / "runner"),
            "github.run_attempt": 1,
        },
        environment=GITHUB | {"CONCURRENCIES": "2", "DYNPERF_LEASE_DIRECTORY": str(tmp_path / "leases")},
        instead={"install": install},
    )
    runner.run(JOBS["measure"])
    return runner


def test_a_night_leaves_a_report_a_summary_and_a_proposal_which_becomes_a_pull_request(checkout: Path, tmp_path: Path) -> None:
    runner = night(checkout, tmp_path, "mocker")
    assert [(step.name, step.code) for step in runner.done if step.code] == [], "\n".join(step.output for step in runner.done)
    assert "GPU-hours" in runner.summary
    assert max(runner.summaries) < MAXIMUM_SUMMARY_BYTES
    annotations = [
        line for step in runner.done for line in step.output.splitlines() if line.startswith(("::error", "::warning", "::notice"))
    ]
    assert len(annotations) <= 9

    report = tmp_path / "runner/artifacts/report-mocker-1"
    (session,) = report.glob("*/session.json")
    assert json.loads(session.read_text(encoding="utf-8"))["complete"]
    assert session.parent.name in runner.summary, "the verdicts are in the summary"
    assert (session.parent / "report.html").stat().st_size > 5000
    assert json.loads((report / "doctor.json").read_text(encoding="utf-8"))["healthy"]
    assert not (report / "latest").exists()
    (document,) = (tmp_path / "runner/artifacts/proposal-mocker-1").rglob("*.json")
    assert document.parent.name == "agg-isl256-osl32-c2"

    propose(tmp_path, tmp_path / "runner/artifacts/proposal-mocker-1")
    (branch,) = git(tmp_path / "origin.git", "branch", "--list", "baselines/*").split()
    added = git(tmp_path / "origin.git", "diff", "--name-status", "main", branch).split()
    assert added == ["A", f"baselines/{document.relative_to(tmp_path / 'runner/artifacts/proposal-mocker-1/baselines')}"]


def test_where_the_machine_is_not_ready_nothing_is_measured_and_the_summary_says_what_is_missing(checkout: Path, tmp_path: Path) -> None:
    runner = night(checkout, tmp_path, "h100")
    assert [step.name for step in runner.done if step.code] == ["Is this machine ready?"]
    assert "h100 is not ready" in runner.summary
    doctor = json.loads((tmp_path / "runner/artifacts/report-h100-1/doctor.json").read_text(encoding="utf-8"))
    (platform,) = (platform for platform in doctor["platforms"] if platform["name"] == "h100")
    assert "model.weights" in {finding["id"] for finding in platform["findings"] if finding["severity"] == "missing"}
    names = [step.name for step in runner.done]
    assert "Measure and judge" not in names
    assert names.count("Sweep up after this session") == 1
    assert not (tmp_path / "runner/artifacts/proposal-h100-1").exists()


def propose(tmp_path: Path, artifact: Path) -> Runner:
    """The job that opens the pull request, in a clone of its own, with a ``gh`` that notes how it was called."""
    git(tmp_path, "clone", "--quiet", "origin.git", "hosted")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "gh").write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >>{tmp_path}/gh.log\n', encoding="utf-8")
    (programs / "gh").chmod(0o755)
    runner = Runner(
        workspace=tmp_path / "hosted",
        temporary=tmp_path / "hosted-runner",
        values={"github.token": "nobody's", "runner.temp": str(tmp_path / "hosted-runner")},
        environment=GITHUB | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
    )
    shutil.copytree(artifact, tmp_path / "hosted-runner/proposals", symlinks=True)
    runner.run(JOBS["propose"])
    return runner


DOCUMENT = "baselines/mocker-1/suite/case-c2/20260101T000000Z-abc.json"


def test_a_proposal_becomes_a_pull_request(checkout: Path, tmp_path: Path) -> None:
    artifact = tmp_path / "artifact"
    (artifact / DOCUMENT).parent.mkdir(parents=True)
    (artifact / DOCUMENT).write_text("{}", encoding="utf-8")
    (step,) = propose(tmp_path, artifact).done
    assert step.code == 0, step.output
    setup, create = (tmp_path / "gh.log").read_text(encoding="utf-8").splitlines()
    assert setup == "auth setup-git"
    assert create.startswith("pr create --base main --head baselines/4711-1 --title Baselines of ")
    assert git(tmp_path / "origin.git", "show", "--name-only", "--format=", "baselines/4711-1").split() == [DOCUMENT]
    assert checkout.exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (".github/workflows/x.json", "not a document"),
        ("baselines/waivers.toml", "not a document"),
        ("baselines/mocker-1/suite/case/x.py", "not a document"),
        ("baselines/mocker-1/suite/case$(id)/20260101T000000Z-abc.json", "not a document"),
        ("baselines/mocker-1/suite/case/20260101T000000Z-link.json", "not a file"),
        ("baselines/mocker-1/suite/case/20260101T000000Z-large.json", "larger than 1 MB"),
    ],
)
@pytest.mark.usefixtures("checkout")
def test_what_is_no_document_is_refused_and_nothing_is_pushed(tmp_path: Path, name: str, said: str) -> None:
    artifact = tmp_path / "artifact"
    (artifact / name).parent.mkdir(parents=True)
    if name.endswith("link.json"):
        (artifact / name).symlink_to("/etc/passwd")
    else:
        (artifact / name).write_bytes(b"x" * (1_000_001 if name.endswith("large.json") else 1))
    (step,) = propose(tmp_path, artifact).done
    assert step.code == 1
    assert said in step.output
    assert git(tmp_path / "origin.git", "branch", "--list").split() == ["*", "main"]
    assert not (tmp_path / "gh.log").exists()


@pytest.mark.usefixtures("checkout")
def test_where_nothing_may_become_a_baseline_no_pull_request_is_opened(tmp_path: Path) -> None:
    (tmp_path / "artifact").mkdir()
    runner = propose(tmp_path, tmp_path / "artifact")
    assert not runner.failed
    assert "Nothing may become a baseline" in runner.summary
    assert not (tmp_path / "gh.log").exists()
