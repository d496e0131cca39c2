"""What a whole session leaves for others: step summary, annotations, JUnit properties, pages; and the sessions that it removes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from pytest_dynperf.command.main import main
from tests.fakes.sse_server import Behaviour, sse_server

if TYPE_CHECKING:
    import pytest

    from tests.plugin.conftest import Bench

QUICK = Behaviour(ttft_s=0.004, itl_s=0.002)
BROKEN = Behaviour(status=500, body=b"::error file=x::boom ##[error]bang")


def test_a_red_session_in_github_actions_tells_everybody(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = bench.root / "summary.md"
    summary.write_text("what another step wrote\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(bench.root.parent))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    with sse_server(*[QUICK] * 8, BROKEN) as server:
        done = bench.run("-q", "--junitxml=junit.xml", "-k", "c1", url=server.url)
    assert done.code == 1, done.text
    text = summary.read_text()
    assert text.startswith("what another step wrote\n## ! 1 of 1 case is invalid")
    commands = [line for line in done.text.splitlines() if line.lstrip().startswith("::") or "##[" in line]
    assert len(commands) == 1, commands
    assert commands[0].startswith(f"::error file={bench.root.name}/fake_suite/test_fake.py,title=invalid%3A fake_suite/")
    (case,) = ElementTree.parse(bench.root / "junit.xml").iter("testcase")
    properties = {entry.get("name"): entry.get("value") for entry in case.iter("property")}
    assert properties["dynperf_outcome"] == "invalid"
    assert json.loads(properties["dynperf"] or "")["case_id"] == "agg-isl64-osl8-c1"
    (home,) = bench.root.glob("reports/2*")
    assert (home / "report.md").read_text() == text.partition("\n")[2]
    families = text_string_to_metric_families((home / "openmetrics.txt").read_text())  # type: ignore[no-untyped-call]
    assert "dynperf_case_fails" in {family.name for family in families}


def test_the_pages_of_a_whole_session_are_made_again_with_the_same_bytes_and_shown(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with sse_server(QUICK) as server:
        done = bench.run("--update-baselines=dry-run", url=server.url)
    assert done.code == 0, done.text
    (home,) = bench.root.glob("reports/2*")
    first = {path.name: path.read_bytes() for path in home.iterdir() if path.suffix in {".html", ".md", ".txt"}}
    assert set(first) == {"report.html", "report.md", "openmetrics.txt"}
    assert main(["report", str(home)]) == 0
    assert {name: (home / name).read_bytes() for name in first} == first
    capsys.readouterr()
    assert main(["show", str(home)]) == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if line and "report:" not in line and "proposals" not in line]
    assert shown
    assert set(shown) <= set(done.text.splitlines()), "what pytest printed at its end"
    assert "\x1b" not in done.text, "no colours in a pipe"


def test_old_sessions_give_way_and_a_word_without_meaning_is_refused_at_once(bench: Bench) -> None:
    for day in range(1, 5):
        (bench.root / f"reports/202001{day:02d}T000000Z-aaaa0{day}").mkdir(parents=True)
        (bench.root / f"reports/202001{day:02d}T000000Z-aaaa0{day}" / "session.json").write_text("{}")
    with sse_server(QUICK) as server:
        done = bench.run("-k", "c1", "--dynperf-keep-sessions=2", url=server.url)
        assert done.code == 0, done.text
        assert re.search(r"removed 3 old sessions, 0\.0 MB \(retention\)", done.text)
        assert [path.name for path in bench.root.glob("reports/2020*")] == ["20200104T000000Z-aaaa04"]
        before = len(server.requests)
        for option in ("--dynperf-keep-sessions=0", "--dynperf-keep-days=soon", "--dynperf-github=maybe"):
            refused = bench.run(option, url=server.url)
            assert refused.code == 4, refused.text
            assert option.partition("=")[0] in refused.text
        assert not [request for request in server.requests[before:] if request.headers.get("x-request-id")]
