"""How large and how fast the page is: a synthetic session of 1,000 cells and 1,000,000 samples, opened in a headless Chromium::

    python -m benchmarks.report [--cells 1000] [--samples 1000000] [--keep DIR]

Prints, each with its budget: the size of the file, seconds to build it (reading the courses of the runs from disk, rendering, writing), the
first contentful paint, and the time from opening a row to its drawings on the screen, the slowest of ten packed cases. Then what axe-core
finds, light and dark, folded and opened, and what the page complains of, on a page of 200 cells: it has all that the large one has, and
axe-core needs minutes for that. Exit code 1 where a budget is exceeded or something is found. Takes two minutes; of other work on the
machine the times say as much as of the page, so CPU seconds stand beside them. Needs Debian's chromium, and npm for axe-core.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report.session import Sizes, make_session
from pytest_dynperf.report.html_page import render
from pytest_dynperf.run_directory import write_atomically
from pytest_dynperf.session.drilldown import read_drilldown
from tests.fakes.chromium import Chromium, axe_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.report.session_report import SessionReport

BUDGETS = {"size": (5.0, "MB"), "build": (5.0, "s"), "first paint": (1.0, "s"), "drill-down": (0.1, "s")}
_OPENED = 10
_SMALL = {"cells": 200, "samples": 20_000}
_PAINT = """new Promise((done) => {
  const look = () => {
    const seen = performance.getEntriesByName("first-contentful-paint")[0];
    seen ? done(seen.startTime / 1000) : setTimeout(look, 20);
  };
  look();
})"""
_OPEN = """(async () => {
  const row = rows.filter((one) => byId(one.dataset.case).dataset.packed === 'yes')[%d] ?? rows[%d];
  unfold(row);
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const begun = performance.now();
  await toggle(row);
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  if (!row.nextElementSibling.querySelector('canvas')) throw Error('nothing was drawn');
  return (performance.now() - begun) / 1000;
})()"""
_OPEN_ALL = """(async () => {
  for (const one of document.querySelectorAll("details.fold")) one.open = true;
  for (const row of rows.filter((one, at) => at % 37 === 0)) if (!isOpen(row)) await toggle(row);
  await new Promise((done) => setTimeout(done, 1000));
})()"""


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where every budget holds and nothing is found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=(__doc__ or "").splitlines()[0].rstrip(":"))
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="directory for the session and the page (default: a temporary one)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="dynperf-report-") as temporary:
        root = options.keep or Path(temporary)
        report = make_session(root, Sizes(cells=options.cells, samples=options.samples))
        page, found = _built(report, root)
        small, _ = _built(make_session(Path(temporary) / "small", Sizes(**_SMALL)), Path(temporary) / "small")
        with Chromium() as browser:
            found |= _timed(browser, page)
            flaws = _flaws(browser, small, axe_source(Path(tempfile.gettempdir()) / "dynperf-axe"))
    for name, (budget, unit) in BUDGETS.items():
        print(f"{name:12} {found[name]:7.3f} {unit:2}  (at most {budget:g}){'' if found[name] <= budget else '  EXCEEDED'}")
    for flaw in flaws:
        print(f"found: {flaw}")
    print(f"found {len(flaws)} flaws with axe-core and in the log")
    return int(bool(flaws) or any(found[name] > budget for name, (budget, _) in BUDGETS.items()))


def _built(report: SessionReport, root: Path) -> tuple[Path, dict[str, float]]:
    begun, used = time.perf_counter(), time.process_time()
    drilldown = read_drilldown(report, root)
    read = time.perf_counter()
    page = root / "report.html"
    write_atomically(page, render(report, drilldown))
    ended = time.perf_counter()
    samples = sum(
        len(run.requests.sent_s) + sum(len(one.at_s) for one in run.series) for case in drilldown.cases.values() for run in case.runs
    )
    print(f"{len(report.results)} cases, {sum(len(one.verdict.cells) for one in report.results)} cells, {samples:,} samples")
    print(f"read in {read - begun:.2f} s, rendered and written in {ended - read:.2f} s; {time.process_time() - used:.2f} s of CPU")
    return page, {"build": ended - begun, "size": page.stat().st_size / 1e6}


def _timed(browser: Chromium, page: Path) -> dict[str, float]:
    browser.send("Performance.enable", timeDomain="threadTicks")
    browser.open(page)
    paint, used = float(browser.run(_PAINT)), browser.cpu_s()
    print(f"loaded with {used:.2f} s of CPU on the page's main thread")
    opened, took = [], []
    for place in range(_OPENED):
        before = browser.cpu_s()
        opened.append(float(browser.run(_OPEN % (place * 20, place))))
        took.append(browser.cpu_s() - before)
    print(f"drill-down, {_OPENED} cases: {', '.join(f'{1e3 * one:.0f}' for one in opened)} ms")
    print(f"  of CPU on the main thread, what comes after included: {', '.join(f'{1e3 * one:.0f}' for one in took)} ms")
    return {"first paint": paint, "drill-down": max(opened)}


def _flaws(browser: Chromium, page: Path, axe: str) -> list[str]:
    found = []
    for dark in (False, True):
        browser.open(page, dark=dark)
        name = "dark" if dark else "light"
        found += [f"{name}, folded: {one}" for one in browser.axe(axe)]
        browser.run(_OPEN_ALL)
        found += [f"{name}, opened: {one}" for one in browser.axe(axe)]
        found += [f"{name}: {one}" for one in browser.complaints()]
    return found


if __name__ == "__main__":
    sys.exit(main())
