"""``dynperf doctor`` as a whole, on this machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_dynperf.command.doctor_text import doctor_lines
from pytest_dynperf.command.main import main
from pytest_dynperf.session.doctor import diagnose
from tests.fakes.doctor_facts import ATTACHED, H200, MOCKER, facts
from tests.house.markdown import read, rows

ROOT = Path(__file__).parents[3]
DEFECTS = facts(packages={}, load_1m=60.0, memory_available_bytes=1 << 30)


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DYNPERF_LEASE_DIRECTORY", str(tmp_path / "leases"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))


def platforms(document: str) -> dict[str, dict[str, object]]:
    return {platform["name"]: platform for platform in json.loads(document)["platforms"]}


def test_a_platform_whose_engine_is_not_here_cannot_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--platform", "h200", "--json", "-"]) == 1
    document = json.loads(said := capsys.readouterr().out)
    assert (document["schema"], document["healthy"], document["asked"]) == (1, False, ["h200"])
    h200 = platforms(said)["h200"]
    assert h200["can_run"] is False
    findings = h200["findings"]
    assert isinstance(findings, list)
    lacking = {finding["id"]: finding for finding in findings if finding["severity"] == "missing"}
    assert {"engine", "model.weights"} <= set(lacking)
    assert "none.sock does not exist" in lacking["engine"]["found"]
    assert all(finding["remedy"] for finding in lacking.values())


def test_an_endpoint_that_runs_already_needs_nothing_here(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor", "--platform", "attached", "--suite", "concurrency_sweep"])
    said = capsys.readouterr().out
    lacking = [line for line in said.splitlines() if line.startswith("missing")]
    assert code == (1 if lacking else 0), said
    assert "attached can run here" in said or lacking


def test_the_file_holds_what_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--platform", "all", "--json", str(tmp_path / "doctor.json")])
    found = platforms((tmp_path / "doctor.json").read_text())
    said = capsys.readouterr().out
    for name, platform in found.items():
        assert re.search(rf"^{name} +{'can run here' if platform['can_run'] else 'lacks '}", said, re.MULTILINE), said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--platform", "h20"], "--platform h20: there is no such platform (did you mean 'h200'"),
        (["--suite", "nothing"], "--suite nothing: there is no such suite"),
    ],
)
def test_a_name_that_is_not_known_is_exit_code_2(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_no_secret_is_printed_and_no_colour_goes_into_a_pipe(tmp_path: Path) -> None:
    secret = "hf_plantedPlanted0123456789"
    environ = os.environ | {"HF_TOKEN": secret, "HF_HOME": f"/nowhere/{secret}"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest_dynperf", "doctor", "--platform", "all", "-v", "--json", str(tmp_path / "out.json")],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    assert "can run here" in done.stdout or "lacks" in done.stdout
    document = (tmp_path / "out.json").read_text()
    for text in (done.stdout, done.stderr, document):
        assert secret not in text
        assert "\x1b" not in text
    assert json.loads(document)["secrets_set"].count("HF_TOKEN") == 1


def test_strict_fails_for_a_warning(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from pytest_dynperf.session import doctor_gather

    monkeypatch.setattr(doctor_gather, "gather", lambda *_: facts(load_1m=60.0))
    assert main(["doctor", "--platform", "mocker"]) == 0
    assert main(["doctor", "--platform", "mocker", "--strict"]) == 1
    assert "CPU load" in capsys.readouterr().out
    monkeypatch.setattr(doctor_gather, "gather", lambda *_: facts())
    assert main(["doctor", "--platform", "mocker", "--strict"]) == 0


# ---- words


@pytest.mark.parametrize("width", [30, 60, 140])
def test_lines_fit_narrow_terminals(width: int) -> None:
    lines = doctor_lines(diagnose(DEFECTS, [H200, MOCKER, ATTACHED], ["all"]), width=width, colour=False, verbose=True)
    longest = max(len(word) for line in lines for word in line.split())
    assert max(map(len, lines)) <= max(width, longest + 9)
    text = " ".join(" ".join(lines).split())
    assert "missing Python package ai-dynamo: not installed" in text
    assert "→ install it there" in text


def test_the_worst_comes_first_and_what_is_fine_only_when_asked_for() -> None:
    diagnosis = diagnose(DEFECTS, [MOCKER], ["mocker"])
    short, full = (doctor_lines(diagnosis, width=100, colour=False, verbose=verbose) for verbose in (False, True))
    marks = [line.split()[0] for line in full if line and not line.startswith((" ", "dynperf", "mocker"))]
    assert marks == sorted(marks, key=["missing", "warning", "unknown", "fine"].index)
    assert {"missing", "warning", "fine"} <= set(marks)
    assert not any(line.startswith("fine") for line in short)
    assert short[-1].startswith("mocker cannot run here: 1 missing, 2 warnings, 0 unknown,")


def test_colours_are_for_terminals() -> None:
    diagnosis = diagnose(DEFECTS, [MOCKER], ["mocker"])
    assert "\x1b[31mmissing\x1b[0m  Python" in "\n".join(doctor_lines(diagnosis, width=100, colour=True, verbose=False))


# ---- the page


def ids_in_source() -> set[str]:
    found = set()
    for path in (ROOT / "pytest_dynperf" / "session").glob("doctor_checks_*.py"):
        found |= set(re.findall(r'\bid=f?"([a-z0-9.{}-]+)"', path.read_text(encoding="utf-8")))
    return {id_.partition("{")[0].rstrip(".") for id_ in found} | {"disk.run", "disk.cache", "disk.temporary", "package", "program"}


def test_every_finding_and_every_option_stands_on_the_page() -> None:
    page = read("doctor.md")
    documented = {code for row in rows(page) for code in re.findall(r"`([a-z0-9.-]+)`", row[0])}
    lacking = {id_ for id_ in ids_in_source() if not any(code == id_ or code.startswith(f"{id_}.") for code in documented)}
    assert lacking == set()
    for option in ("--platform", "--suite", "--strict", "--json", "-v"):
        assert f"`{option}" in page
    shortened = page.replace("`gpu.mig`", "")
    assert {code for row in rows(shortened) for code in re.findall(r"`([a-z0-9.-]+)`", row[0])} == documented - {"gpu.mig"}
