"""Runs the ``run:`` steps of a workflow's job on this machine, in order, as a runner does: bash, one file each for outputs and summary.

What a step ``uses`` is an action of somebody else: checkout and set-up of Python are left out, and ``actions/upload-artifact`` is played by
copying. An expression or a condition that the test does not give a value is an error.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parents[2]
_EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")
_LEFT_OUT = ("actions/checkout@", "actions/setup-python@", "actions/download-artifact@")


def read_workflow(path: Path) -> dict[str, Any]:
    """A workflow; YAML takes its key ``on`` for true."""
    workflow: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in workflow.items()}


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """One step: its name, how it ended, what it printed, and what it set."""

    name: str
    code: int
    output: str
    outputs: dict[str, str]


@dataclass(kw_only=True)
class Runner:
    """A machine that does one job in ``workspace``; everything else of it lies in ``temporary``."""

    workspace: Path
    temporary: Path
    values: Mapping[str, object]
    environment: Mapping[str, str] = field(default_factory=dict)
    instead: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    """What is done here in place of the steps with these ids."""
    done: list[StepResult] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """What all steps wrote for people."""
        return "".join(path.read_text(encoding="utf-8") for path in sorted(self.temporary.glob("summary-*")))

    @property
    def summaries(self) -> list[int]:
        """Size of each step's summary in bytes."""
        return [path.stat().st_size for path in sorted(self.temporary.glob("summary-*"))]

    @property
    def failed(self) -> bool:
        """Whether a step did."""
        return any(step.code for step in self.done)

    def run(self, job: Mapping[str, Any]) -> list[StepResult]:
        """Do all steps whose condition holds."""
        self.temporary.mkdir(parents=True, exist_ok=True)
        variables = {name: self.fill(str(text)) for name, text in job.get("env", {}).items()}
        for number, step in enumerate(job["steps"]):
            if not self._holds(step.get("if")):
                continue
            if "uses" in step:
                self._use(step)
            elif step.get("id") in self.instead:
                self.instead[step["id"]]()
            else:
                self._run(number, step, variables)
        return self.done

    def fill(self, text: str) -> str:
        """``text`` with its expressions replaced."""
        return _EXPRESSION.sub(lambda found: _as_text(self._value(found[1])), text)

    def _value(self, expression: str) -> object:
        if expression in self.values:
            return self.values[expression]
        for step in reversed(self.done):
            if expression.startswith("steps.") and expression.rpartition(".")[2] in step.outputs:
                return step.outputs[expression.rpartition(".")[2]]
        msg = f"the test gives no value to {expression}"
        raise AssertionError(msg)

    def _holds(self, condition: str | None) -> bool:
        if condition is None:
            return not self.failed
        found = _EXPRESSION.fullmatch(condition.strip())
        return all(self._term(term.strip()) for term in (found[1] if found else condition).split("&&"))

    def _term(self, term: str) -> bool:
        if term in {"always()", "!cancelled()"}:
            return True
        if term.endswith(" > 0"):
            return int(str(self._value(term.removesuffix(" > 0")))) > 0
        return bool(self._value(term))

    def _use(self, step: Mapping[str, Any]) -> None:
        if not step["uses"].startswith("actions/upload-artifact@"):
            assert step["uses"].startswith(_LEFT_OUT), step["uses"]
            return
        lines = self.fill(step["with"]["path"]).split()
        target = self.temporary / "artifacts" / self.fill(step["with"]["name"])
        left_out = {(self.workspace / line[1:]).absolute() for line in lines if line.startswith("!")}
        for line in lines:
            if not line.startswith("!"):
                source = self.workspace / line
                shutil.copytree(source, target, dirs_exist_ok=True, ignore=partial(_left_out, left_out))
        self.done.append(StepResult(name=str(step.get("name")), code=0, output="", outputs={}))

    def _run(self, number: int, step: Mapping[str, Any], variables: Mapping[str, str]) -> None:
        outputs, summary = self.temporary / f"output-{number:02}", self.temporary / f"summary-{number:02}"
        outputs.touch()
        summary.touch()
        environment = os.environ | variables | {name: self.fill(str(text)) for name, text in step.get("env", {}).items()}
        environment |= {
            "GITHUB_OUTPUT": str(outputs),
            "GITHUB_STEP_SUMMARY": str(summary),
            "RUNNER_TEMP": str(self.temporary),
            "CI": "true",
        }
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", self.fill(step["run"])]
        ended = subprocess.run(
            command,
            cwd=self.workspace,
            env=environment | dict(self.environment),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=step.get("timeout-minutes", 360) * 60,
            check=False,
        )
        pairs = (line.partition("=") for line in outputs.read_text(encoding="utf-8").splitlines())
        self.done.append(
            StepResult(
                name=str(step.get("name")), code=ended.returncode, output=ended.stdout, outputs={name: value for name, _, value in pairs}
            )
        )


def _left_out(paths: set[Path], folder: str, names: list[str]) -> list[str]:
    """What upload-artifact leaves out: hidden files, and what it is told."""
    return [name for name in names if name.startswith(".") or Path(folder, name).absolute() in paths]


def _as_text(value: object) -> str:
    """As GitHub writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
