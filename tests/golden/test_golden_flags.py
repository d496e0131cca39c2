"""Every flag that we write is one that the program takes: against flags that were read from the programs, version by version.

``flags/*.txt`` says in its first line where it comes from.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.golden.matrix import VERSIONS, cases
from tests.golden.read_flags import FLAGS, annotated, declared, of_help

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CASES = {name: case for name, case in cases().items() if case.version}
ENGINE_FLAGS = {"dynamo.vllm": "vllm", "dynamo.sglang": "sglang"}
"""Programs that hand on what they do not know themselves."""


def known(file: str) -> dict[str, dict[str, str]]:
    """Program to flag to choices."""
    found: dict[str, dict[str, str]] = {}
    for line in (FLAGS / f"{file}.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            program, flag, choices = (*line.split(" ", 2), "")[:3]
            found.setdefault(program, {})[flag] = choices
    return found


def program_of(argv: Sequence[str]) -> str:
    """What the flags file calls the program of a command line; empty for one that is not checked here."""
    modules = {"vllm.entrypoints.openai.api_server": "vllm", "sglang.launch_server": "sglang"}
    if "-m" in argv:
        module = argv[argv.index("-m") + 1]
        return modules.get(module, module)
    name = argv[0].rpartition("/")[2]
    return name if name in ("trtllm-serve", "lmcache") else ""


def accepted(version: str, program: str) -> dict[str, str]:
    """Flags of ``program`` as of Dynamo ``version``: its own, and those of the engine that it hands on to."""
    own = known(f"ai-dynamo-{version}").get(program, {})
    engine = ENGINE_FLAGS.get(program, program)
    for path in sorted(FLAGS.glob(f"{engine}-*.txt")):
        if engine != "sglang" or (path.stem == "sglang-0.5.8") == (version == "0.9.1"):
            own = {**known(path.stem)[engine], **own}
    return own


def strangers(argv: Sequence[str], flags: Mapping[str, str]) -> Iterator[str]:
    """What a program with ``flags`` would refuse of its command line."""
    for index, word in enumerate(argv):
        if not word.startswith("--"):
            continue
        name, _, value = word.partition("=")
        if name not in flags:
            yield name
            continue
        value = value or (argv[index + 1] if index + 1 < len(argv) else "")
        choices = flags[name].strip("{}").split(",") if flags[name] else [value]
        if value not in choices:
            yield f"{name} {value}"


@pytest.mark.parametrize("name", CASES)
def test_every_flag_is_known(name: str) -> None:
    case, checked = CASES[name], 0
    for spec in case.specs:
        if program := program_of(spec.argv):
            flags = accepted(case.version, program)
            assert flags, f"no flags of {program} are written down"
            assert list(strangers(spec.argv, flags)) == [], spec.name
            checked += 1
    assert checked


def test_every_version_of_the_table_was_read() -> None:
    assert {path.stem for path in FLAGS.glob("ai-dynamo-*.txt")} == {f"ai-dynamo-{version}" for version in VERSIONS}
    for version in VERSIONS:
        found = known(f"ai-dynamo-{version}")
        assert set(found) == {"dynamo.frontend", "dynamo.mocker", "dynamo.vllm", "dynamo.sglang", "dynamo.trtllm"}
        assert all(len(flags) > 10 for flags in found.values())


def test_files_say_where_they_come_from() -> None:
    for path in FLAGS.glob("*.txt"):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        assert re.match(r"# \S+.* \d+\.\d+\S*: ", first), path


def test_a_flag_of_another_version_is_found() -> None:
    old = next(spec for spec in CASES["0.9.1-mocker-kv"].specs if spec.role == "frontend")
    assert list(strangers(old.argv, accepted("1.4.2", "dynamo.frontend"))) == []  # still taken, as a synonym
    split = next(spec for spec in CASES["0.9.1-vllm-disagg"].specs if spec.role == "prefill")
    assert "--is-prefill-worker" in list(strangers(split.argv, accepted("1.4.2", "dynamo.vllm")))
    new = next(spec for spec in CASES["1.4.2-mocker-disagg"].specs if spec.role == "prefill")
    assert "--event-plane" in list(strangers(new.argv, accepted("1.0.2", "dynamo.mocker")))
    assert list(strangers(("--router-mode", "least-loaded"), accepted("1.0.2", "dynamo.frontend"))) == ["--router-mode least-loaded"]


def test_flags_are_read_from_source() -> None:
    source = 'M = ["a", "b"]\np.add_argument("--mode", choices=M)\nadd_negatable_bool_argument(g, flag_name="--on", default=True)\n'
    assert dict(declared(source)) == {"--mode": "{a,b}", "--on": "", "--no-on": ""}
    fields = (
        'class C:\n    tp_size: A[int, Arg(help="x", aliases=["--tensor-parallel-size"])] = 1\n    inner: A[int, Arg(no_cli=True)] = 0\n'
    )
    assert list(annotated(fields)) == ["--tp-size", "--tensor-parallel-size"]
    assert of_help("usage: x [--a-b C]\n  -p, --port PORT  use --this\n") == {"--a-b", "--port", "--this"}
