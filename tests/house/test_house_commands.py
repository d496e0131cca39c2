"""Every command of README, docs and suites is run: planned or run here, run by a test that is named, or it says what it needs.

``pytest`` is planned: collected, its options and cases proven, nothing started. ``dynperf`` runs on a night that lies on the disk.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pytest_dynperf.command import exit_code
from pytest_dynperf.command.main import main
from tests.fakes.judged_sessions import a_night, every_way, written
from tests.house.markdown import DOCS, ROOT, pages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ELSEWHERE = {
    r"make (test|images|check)$": (".ci/run", "make {1}"),
    r"make demo$": ("tests/system/test_system_suite.py", "--update-baselines"),  # the two commands that it runs
    r"make (engines|long)$": ("Makefile", "{1}:"),  # 4.5 GB, half an hour; the gate installs the same behind everything else
    r"make format$": ("Makefile", "ruff format ."),
    r"make docs$": ("tests/house/test_house_site.py", "site.py"),
    r"make calibrate$|\S*python -m benchmarks\.judgement": ("tests/unit/benchmarks/test_benchmarks_judgement.py", "judgement"),
    r"pip install \.$": (".ci/wheel", "pip install"),
    r"python3 tests/images/daemon\.py": (".ci/run", "python3 tests/images/daemon.py"),
    r"python3 -m venv \.venv && source \.venv/bin/activate$": (".ci/wheel", "-m venv"),
    r"pip install docs/examples/dynperf-echo$": ("tests/house/test_house_hooks.py", '"pip", "install"'),
    r"pytest docs/examples/dynperf-echo/suite --gpu=echo$": ("tests/house/test_house_hooks.py", "--gpu=echo"),
    r"dynperf doctor": ("tests/unit/command/test_command_doctor.py", "doctor_lines"),
    r"dynperf engines (install|list|remove)": ("tests/unit/command/test_command_engines.py", '"{1}"'),
    r"dynperf import": ("tests/unit/command/test_command_foreign.py", '"import"'),
    r"dynperf export": ("tests/unit/command/test_command_foreign.py", "export"),
    r"dynperf load .*--driver aiperf": ("tests/unit/command/test_command_load_aiperf.py", "--driver"),
    r"dynperf load": ("tests/unit/command/test_command_load.py", '"load"'),
    r"dynperf workload": ("tests/unit/command/test_command_workload.py", "test_the_commands_of_the_page_run_in_their_order"),
    r"python docs/examples/dynperf-echo/src/echo_extension/server\.py": ("tests/house/test_house_tutorial.py", "server.py"),
    r"\S*python -m tests\.images": ("tests/system/test_system_images.py", "tests.images"),
}
"""Commands, and the file that runs them or what they run, with a text that proves it."""

NEEDS = {
    r"\S*python (-m benchmarks\.instrument|benchmarks/start_up\.py)": "an idle machine, for minutes",
    r"dynperf baselines accept night/": "a night of a runner",
    r"gh ": "GitHub",
    r"python3 -m venv \S+ && \S+ install \W?(aiperf|lm-eval)": "another environment, of hundreds of MB",
}
"""Commands that no test can run, and why."""

_FIRST = r"(?:make|pytest|dynperf|pip|python3?|gh|docker|git|\.venv/bin/\S+)"
_COMMAND = re.compile(rf"(?:\$ )?((?:[A-Z_]+=\S* )*{_FIRST} (?!.*:$).*)")
_SHELL = {"", "sh", "bash", "console"}


class Command(NamedTuple):
    """A command of a page; ``needs`` is what a mark above its block says."""

    page: str
    text: str
    needs: str | None


def commands_in(page: str, text: str) -> Iterator[Command]:
    """Commands of the fenced and indented code of ``text``."""
    for needs, language, block in re.findall(r"(?:^<!-- needs: (.+?) -->\n)?^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if language in _SHELL:
            yield from _of_block(page, block, needs or None)
    bare = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from _of_block(page, "".join(f"{line}\n" for line in re.findall(r"^    (\S.*)$", bare, re.MULTILINE)), None)


def _of_block(page: str, block: str, needs: str | None) -> Iterator[Command]:
    lines = block.replace("\\\n", " ").splitlines()
    if any(line.startswith("$ ") for line in lines):
        lines = [line for line in lines if line.startswith("$ ")]  # the others are what it printed
    for line in lines:
        found = _COMMAND.fullmatch(line.rstrip())
        if found is not None and not re.match(r"\w+ \w*:|\w+:", found[1]):
            yield Command(page, re.sub(r"\s+#(\s.*)?$", "", " ".join(found[1].split())), needs)


COMMANDS = [
    command
    for page in pages()
    if page != DOCS / "tutorial.md"  # run in its order by a test of its own
    for command in commands_in(str(page.relative_to(ROOT)), page.read_text(encoding="utf-8"))
]
RUN = r"dynperf (judge|compare|history|show|report|reports|schema|baselines list)\b"
PLANNED = r"(?:[A-Z_]+=\S* )*pytest (?!docs/examples)"


def unrun(commands: list[Command]) -> list[str]:
    """Commands that nobody runs, and that do not say why."""
    known = [PLANNED, RUN, *ELSEWHERE, *NEEDS]
    return [
        f"{one.page}: {one.text}" for one in commands if one.needs is None and not any(re.match(pattern, one.text) for pattern in known)
    ]


def test_every_command_is_run_somewhere_or_says_what_it_needs() -> None:
    assert len(COMMANDS) > 60
    assert unrun(COMMANDS) == []


def test_a_command_that_nobody_runs_is_found() -> None:
    text = (
        "```sh\ndynperf juggle reports  # a typo\npytest suites \\\n  -v\n```\n\n"
        "<!-- needs: a GPU -->\n```\ndocker run x\n```\n\n    docker pull y\n"
    )
    found = list(commands_in("page.md", text))
    assert [one.text for one in found] == ["dynperf juggle reports", "pytest suites -v", "docker run x", "docker pull y"]
    assert unrun(found) == ["page.md: dynperf juggle reports", "page.md: docker pull y"]


@pytest.mark.parametrize("pattern", [pattern for pattern in ELSEWHERE if any(re.match(pattern, one.text) for one in COMMANDS)])
def test_who_is_named_runs_it(pattern: str) -> None:
    file, text = ELSEWHERE[pattern]
    matches = [match for one in COMMANDS if (match := re.match(pattern, one.text))]
    said = (ROOT / file).read_text(encoding="utf-8")
    for match in matches:
        assert text.replace("{1}", match[1] if match.groups() else "") in said


# ---- run here


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with baselines and two sessions, as pages name them."""
    directory = tmp_path_factory.mktemp("night")
    root = directory / "baselines"
    results = every_way(root)
    written(directory / "reports", a_night(root, *results, stamp="20261120T030000Z", session_id="1c9c6983"))
    newest = written(directory / "reports", a_night(root, *results))
    (directory / "reports" / "latest").symlink_to(newest.name)
    return directory


@pytest.mark.parametrize("text", sorted({one.text for one in COMMANDS if re.match(RUN, one.text)}))
def test_a_command_of_dynperf_runs(
    text: str, night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "night"
    shutil.copytree(night, directory, symlinks=True)
    monkeypatch.chdir(directory)
    there = text.partition(" > ")[0].replace("/tmp/", f"{tmp_path}/").replace("*-c64", "*")  # what is there in place of what might be
    words = shlex.split(there)[1:]
    code = main(words)
    said = capsys.readouterr()
    assert code in {0, exit_code.INVALID}, said.err  # a night with everything in it: some of it fails
    assert said.out


PLAN = """
import json, os, sys
import pytest
codes = {}
for text, (variables, words) in json.load(sys.stdin).items():
    os.environ.update(variables)
    plugin = ["-p", "pytest_dynperf.plugin", "-p", "no:cacheprovider"]
    codes[text] = int(pytest.main([*words, "--dynperf-plan", "-q", *plugin]))
    for name in variables:
        del os.environ[name]
print("\\n" + json.dumps(codes))
"""


def test_every_pytest_command_can_be_planned() -> None:
    asked = {}
    for text in {one.text for one in COMMANDS if one.needs is None and re.match(PLANNED, one.text)}:
        words = shlex.split(text.replace("/opt/dynamo-1.3", sys.prefix))
        place = words.index("pytest")
        asked[text] = (dict(word.split("=", 1) for word in words[:place]), words[place + 1 :])
    assert asked
    done = subprocess.run(
        [sys.executable, "-c", PLAN],
        cwd=ROOT,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout, done.stderr
    codes = json.loads(done.stdout.splitlines()[-1])
    assert {text: code for text, code in codes.items() if code != 0} == {}, done.stdout[-3000:]
