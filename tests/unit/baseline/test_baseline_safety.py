"""Two updaters at once, SIGKILL at any instant, a full disk: nothing accepted is lost, and nothing half written is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

PRELUDE = """
import json, os, random, resource, signal, sys, time
from dataclasses import replace
from pathlib import Path
from pytest_dynperf.baseline.store import read, write
from pytest_dynperf.errors import DynperfError
from tests.fakes.observations import KEY, TTFT, document_of

ROOT = Path(sys.argv[1])

def session(name, value=0.05):
    return replace(document_of({TTFT: (value, value * 1.01, value * 1.02)}), session_id=name)

def seen():
    found = read(ROOT, suite="smoke", case_id="agg-isl256-osl3-c4", key=KEY)
    return found.documents

def names():
    return {path.name.partition("-")[2].removesuffix(".json") for path in ROOT.glob("*/*/*/[!.]*.json")}
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + script, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def said(child: subprocess.Popen[str]) -> dict[str, object]:
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    found: dict[str, object] = json.loads(out)
    return found


TWO = """
lost = 0
for number in range(200):
    write(ROOT, session(f"{sys.argv[2]}{number:03d}"))
    try:
        write(ROOT, session(f"both{number:03d}", 0.05 if sys.argv[2] == "a" else 0.06))
    except DynperfError as error:
        assert "already holds another document" in str(error), error
        lost += 1
    if number % 40 == 0:
        seen()
print(json.dumps({"lost": lost}))
"""


def test_two_updaters_lose_nothing_and_replace_nothing(tmp_path: Path) -> None:
    results = [said(child) for child in [start(TWO, tmp_path, name) for name in "ab"]]
    assert sum(int(str(result["lost"])) for result in results) == 200, "of two documents with one name exactly one is written"
    found = said(start("seen(); print(json.dumps({'names': sorted(names()), 'files': len(list(ROOT.rglob('*')))}))", tmp_path))
    expected = {f"{kind}{number:03d}" for kind in ("a", "b", "both") for number in range(200)}
    assert set(found["names"]) == expected  # type: ignore[call-overload]
    assert found["files"] == 600 + 3, "no temporary file is left, only documents and their three folders"


KILLED = """
accepted, leftovers, rng = set(), 0, random.Random(7)
for attempt in range(40):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        number = 0
        while True:
            write(ROOT, session(f"{attempt:02d}x{number:04d}"))
            os.write(writer, b".")
            number += 1
    os.close(writer)
    os.read(reader, 1)
    time.sleep(rng.uniform(0.0, 0.01))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    said = 1
    while block := os.read(reader, 65536):
        said += len(block)
    os.close(reader)
    accepted |= {f"{attempt:02d}x{number:04d}" for number in range(said)}
    assert accepted <= names(), sorted(accepted - names())
seen()
from pytest_dynperf.baseline.store import document_files, load
everything = [load(ROOT, path) for path in document_files(ROOT)]
print(json.dumps({"read": len(everything), "accepted": len(accepted)}))
"""


def test_sigkill_at_random_instants_leaves_every_document_readable(tmp_path: Path) -> None:
    found = said(start(KILLED, tmp_path))
    accepted, seen = int(str(found["accepted"])), int(str(found["read"]))
    assert accepted >= 40
    assert accepted <= seen <= accepted + 40, "at most the one that was being named when the kill came"


AT = """
write(ROOT, session("old"))
which, function = sys.argv[2], sys.argv[3]
real = getattr(os, function)

def killing(*arguments, **keywords):
    if which == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    real(*arguments, **keywords)
    os.kill(os.getpid(), signal.SIGKILL)

child = os.fork()
if child == 0:
    setattr(os, function, killing)
    write(ROOT, session("new"))
    os._exit(0)
_, status = os.waitpid(child, 0)
documents = [document.session_id for document in seen()]
half = [path.name for path in ROOT.rglob(".*")]
write(ROOT, session("later"))
print(json.dumps({"killed": os.WIFSIGNALED(status), "documents": documents, "half": len(half), "later": len(seen())}))
"""


@pytest.mark.parametrize(
    ("when", "function", "documents"),
    [
        ("before", "fsync", ["old"]),
        ("after", "fsync", ["old"]),
        ("before", "link", ["old"]),
        ("after", "link", ["new", "old"]),
    ],
)
def test_sigkill_at_each_step_of_an_update(tmp_path: Path, when: str, function: str, documents: list[str]) -> None:
    found = said(start(AT, tmp_path, when, function))
    assert found == {"killed": True, "documents": documents, "half": 1, "later": len(documents) + 1}


FULL = """
write(ROOT, session("old"))
if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
else:
    with open(ROOT / "filler", "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
try:
    write(ROOT, session("new"))
    error = ""
except DynperfError as caught:
    error = str(caught)
print(json.dumps({"error": error, "documents": [d.session_id for d in seen()], "half": len(list(ROOT.rglob(".*")))}))
"""


def check_full(found: dict[str, object], words: str) -> None:
    assert str(found["error"]).startswith("cannot write ")
    assert words in str(found["error"])
    assert "make room" in str(found["error"])
    assert (found["documents"], found["half"]) == (["old"], 0)


def test_a_file_that_may_not_grow_leaves_the_old_one_and_says_so(tmp_path: Path) -> None:
    check_full(said(start(FULL, tmp_path, 100)), "File too large")


def test_a_full_disk_leaves_the_old_document_and_says_so(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system: this is another user")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"needs the right to mount a small file system: {mounted.stderr.strip()}")
    try:
        check_full(said(start(FULL, tmp_path)), "No space left on device")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
