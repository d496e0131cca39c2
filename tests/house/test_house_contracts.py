"""The import contracts hold, and each of them can break: a defect planted in a copy of the package turns it red by name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = {
    contract["id"]: contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
}
UNDER_TYPE_CHECKING = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    {}"
INSIDE_A_FUNCTION = "def planted() -> None:\n    {}"

DEFECTS = [
    pytest.param("layers", "utils.py", '"""A room that nobody drew."""', id="a stray module"),
    pytest.param("layers", "verdict/noise.py", "import pytest_dynperf.session.conduct", id="upwards"),
    pytest.param("layers", "session/plan.py", "import pytest_dynperf.command.main", id="to a command"),
    pytest.param("layers", "load/clock.py", "import pytest_dynperf.deployment.ports", id="to a sibling room"),
    pytest.param("layers", "telemetry/names.py", "import pytest_dynperf.measurement.run", id="to a sibling that judges by it"),
    pytest.param("layers", "load/clock.py", "import pytest_dynperf.telemetry.sampler", id="a load generator that reads metrics"),
    pytest.param("layers", "metrics/length.py", UNDER_TYPE_CHECKING.format("import pytest_dynperf.scenario.case"), id="for a type"),
    pytest.param("layers", "quantity.py", INSIDE_A_FUNCTION.format("import pytest_dynperf.endpoint"), id="inside a function"),
    pytest.param("judging", "report/chart.py", "import pytest_dynperf.load.driver", id="a report that measures"),
    pytest.param(
        "judging", "measurement/run.py", INSIDE_A_FUNCTION.format("import pytest_dynperf.telemetry.counter"), id="a result that reads"
    ),
    pytest.param("judging", "report/chart.py", "import pytest_dynperf.telemetry.sampler", id="a report that reads"),
    pytest.param("judging", "verdict/judge.py", "import pytest_dynperf.accelerator.nvml", id="a judge that looks at GPUs"),
    pytest.param("pytest-upstairs", "measurement/run.py", "import pytest", id="pytest"),
    pytest.param("pytest-upstairs", "session/plan.py", INSIDE_A_FUNCTION.format("import _pytest.config"), id="pytest's insides"),
    pytest.param("pytest-upstairs", "telemetry/sampler.py", "import pytest", id="pytest in telemetry"),
    pytest.param("pytest-upstairs", "command/main.py", INSIDE_A_FUNCTION.format("import pytest"), id="pytest in a command"),
    pytest.param(
        "pytest-upstairs", "command/load.py", INSIDE_A_FUNCTION.format("import pytest_dynperf.plugin.options"), id="a command's plugin"
    ),
    pytest.param("pure", "verdict/weigh.py", "import socket", id="a socket"),
    pytest.param("pure", "scenario/sweep.py", INSIDE_A_FUNCTION.format("import subprocess"), id="a process"),
    pytest.param("pure", "deployment/dynamo.py", "import httpx", id="an HTTP client"),
    pytest.param("pure", "telemetry/prometheus.py", "import socket", id="a parser that asks"),
    pytest.param("acyclic", "scenario/traffic.py", "import pytest_dynperf.scenario.case", id="a loop"),
    pytest.param(
        "acyclic",
        "observation/request_record.py",
        UNDER_TYPE_CHECKING.format("import pytest_dynperf.observation.recording"),
        id="a loop of types",
    ),
]


def lint(directory: Path, *arguments: str) -> tuple[int, dict[str, bool]]:
    """Exit status, and for each contract, by name, whether it was kept.

    Without the cache: it is keyed by modification times and has been seen to remember an import that was gone.
    """
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", "--no-logo", *arguments],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(directory)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    found = re.findall(r"^(.+) (KEPT|BROKEN)$", done.stdout, re.MULTILINE)
    assert found, done.stdout + done.stderr
    return done.returncode, {name: state == "KEPT" for name, state in found}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "pytest_dynperf", tmp_path / "pytest_dynperf", symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_are_kept() -> None:
    code, kept = lint(ROOT)
    assert kept == dict.fromkeys(CONTRACTS.values(), True)
    assert code == 0


def test_a_copy_without_a_defect_is_kept(copy: Path) -> None:
    code, kept = lint(copy)
    assert kept == dict.fromkeys(CONTRACTS.values(), True)
    assert code == 0


@pytest.mark.parametrize(("contract", "file", "defect"), DEFECTS)
def test_a_defect_turns_the_contract_red(copy: Path, contract: str, file: str, defect: str) -> None:
    path = copy / "pytest_dynperf" / file
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(f"{before}\n{defect}\n", encoding="utf-8")
    code, kept = lint(copy, "--contract", contract)
    assert kept == {CONTRACTS[contract]: False}
    assert code != 0


def test_every_contract_has_a_defect_that_breaks_it() -> None:
    assert {str(defect.values[0]) for defect in DEFECTS} == set(CONTRACTS)
