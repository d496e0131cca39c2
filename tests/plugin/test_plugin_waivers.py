"""Waivers and dry runs through whole pytest runs, down to the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fakes.sse_server import Behaviour, sse_server

if TYPE_CHECKING:
    from tests.plugin.conftest import Bench

QUICK = Behaviour(ttft_s=0.002, itl_s=0.001)
SLOW = Behaviour(ttft_s=0.006, itl_s=0.006)
WAIVER = '[[waiver]]\ncase = "fake_suite/*-c1"\nreason = "known"\nlink = "https://example.org/7"\nexpires = {}\n'


def test_a_waived_regression_passes_as_a_regression_and_an_expired_waiver_fails(bench: Bench) -> None:
    waivers = bench.root / "baselines" / "waivers.toml"
    with sse_server(QUICK) as server:
        accepted = bench.run("--update-baselines", "-k", "c1", url=server.url)
        assert accepted.code == 0, accepted.text
        waivers.write_text(WAIVER.format("2020-01-31"))
        expired = bench.run("-k", "c1", url=server.url)
        assert expired.code == 1, expired.text
        assert expired.session["cases"][0]["verdict"]["expired"][0]["expires"] == "2020-01-31"
        waivers.write_text(WAIVER.format('"soon"'))
        broken = bench.run("-k", "c1", url=server.url)
        assert broken.code == 4, "found before anything is measured"
        assert "waiver 1: expires must be a date" in broken.text
    waivers.write_text(WAIVER.format("2999-01-31"))
    with sse_server(SLOW) as server:
        waived = bench.run("-k", "c1", url=server.url)
    assert waived.outcomes() == {"agg-isl64-osl8-c1": "regressed"}
    assert waived.code == 0, waived.text
    assert waived.session["cases"][0]["verdict"]["waiver"]["reason"] == "known"


def test_a_dry_run_says_old_and_new_and_what_would_be_refused(bench: Bench) -> None:
    with sse_server(QUICK) as server:
        bench.run("--update-baselines", "-k", "c1", url=server.url)
    with sse_server(SLOW) as server:
        run = bench.run("--update-baselines=dry-run", url=server.url)
    assert "baselines, dry run" in run.text
    lines = [line.strip() for line in run.text.partition("baselines, dry run")[2].splitlines()]
    first = next(place for place, line in enumerate(lines) if line.startswith("fake_suite/agg-isl64-osl8-c1: regressed, would be refused"))
    assert lines[first + 1].startswith("ITL p50")
    assert "→" in lines[first + 1]
    assert "MDE" in lines[first + 1]
    assert any(line == "fake_suite/agg-isl64-osl8-c2: no baseline, would be accepted" for line in lines)
    assert len(bench.baseline_files()) == 1
