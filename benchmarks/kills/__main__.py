"""Ends real sessions at random moments and looks at what they leave::

    python -m benchmarks.kills --count 200 --seed 1 --launchers process,container

Each session is pytest on a small suite of the mocker, with and without ``-n 2``. SIGINT, SIGTERM, SIGHUP or SIGKILL goes to pytest, to the
controller, or to an xdist worker. Ten seconds later nothing may be left: no process, container, network, held lease or temporary file;
``session.json`` must be readable, and complete only when everything was measured. Every eighth session is gone on with, which must complete
it. One line a session: LEFT where something was left or written wrongly, RED where a session that nobody ended, or that went on, failed by
itself, as it may where others use the machine. The exit code is 1 after either. 15 s a session on two cores. Needs the extra `mocker`.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.kills.kill import XDIST_WORKER, Kill, kills
from benchmarks.kills.left import adopt_orphans, end_leftovers, flaws, left_behind
from benchmarks.kills.session import PLANTED, Session, finish, start, strike, write_suite

if TYPE_CHECKING:
    from collections.abc import Sequence

CLEAN_S = 10.0
"""From the signal (to an xdist worker: from the end of pytest) until nothing is left."""
SESSION_S = 300.0
RESUME_EVERY = 8
LAUNCHERS = ("process", "container")
CONTAINERS = " ".join(
    [
        "--dynperf-launcher=container",
        "--dynperf-set=topology.image=dynperf-test/dynamo:latest",
        *(f"--dynperf-set=topology.images.{name}=dynperf-test/{name}:latest" for name in ("etcd", "nats")),
    ]
)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=(__doc__ or "").splitlines()[0].rstrip(":"))
    parser.add_argument("--count", type=int, default=200, help="sessions (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of targets, signals and moments (default: %(default)s)")
    parser.add_argument("--launchers", default="process", metavar="NAMES", help="process, container, or both, with a comma between")
    parser.add_argument("--first", type=int, default=1, metavar="N", help="begin with the Nth session (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=float("inf"), metavar="N", help="begin no session later than that")
    parser.add_argument("--arguments", default="", metavar="TEXT", help="further arguments for every pytest")
    parser.add_argument("--container-arguments", default=CONTAINERS, metavar="TEXT", help="of containers (default: images of tests/images)")
    parser.add_argument("--plant", choices=sorted(PLANTED), help="plant a leak, to see that it is found")
    options = parser.parse_args(arguments)
    options.launchers = options.launchers.split(",")
    if unknown := set(options.launchers) - set(LAUNCHERS):
        parser.error(f"--launchers: {', '.join(sorted(unknown))} is none of {', '.join(LAUNCHERS)}")
    return options


class Campaign:
    """Sessions one after the other below one directory, with one directory of leases."""

    def __init__(self, options: argparse.Namespace, root: Path) -> None:
        self._options = options
        self._root = root
        self._takes_s: dict[tuple[str, int], float] = {}
        self.outcomes: Counter[str] = Counter()
        self.broken: list[str] = []
        self.red: list[str] = []

    def one(self, kill: Kill) -> None:
        """Start, strike, look, and now and then go on."""
        after_s = self._takes(kill) * kill.moment
        if self._options.plant and (self.broken or self.red):
            return  # found already, in a session that nobody ended
        session = self._start(kill, f"{kill.number:03d}")
        hit = strike(session, kill, after_s)
        struck_s = time.monotonic()
        in_time = finish(session, SESSION_S if kill.target == XDIST_WORKER else CLEAN_S)
        began_s = time.monotonic() if kill.target == XDIST_WORKER else struck_s
        found = [] if in_time else [f"pytest had not ended {time.monotonic() - struck_s:.0f} s after the signal"]
        found += self._until_clean(session, began_s)
        took_s = time.monotonic() - began_s
        found += flaws(session)
        print(f"{kill} {hit}: {_said(found) or f'clean after {took_s:.1f} s'}, {self._state(session)}", flush=True)
        if not found and kill.number % RESUME_EVERY == 0:
            found = self._go_on(kill, session)
        self._note(kill, session, found)

    def _takes(self, kill: Kill) -> float:
        """How long a session takes that nobody ends; measured once for each kind, and checked like the others."""
        kind = kill.launcher, kill.xdist_workers
        if kind not in self._takes_s:
            session = self._start(kill, f"unharmed-{kill.launcher}-{kill.xdist_workers}")
            found = [] if finish(session, SESSION_S) else [f"had not ended after {SESSION_S:g} s"]
            self._takes_s[kind] = time.monotonic() - session.started_s
            found += self._until_clean(session, time.monotonic()) + flaws(session)
            report = None if found else session.report()
            red = _red(session, report) if not found else ""
            workers = f" -n {kill.xdist_workers}" if kill.xdist_workers else ""
            what = f"unharmed {kill.launcher}{workers}"
            print(f"    {what}: {self._takes_s[kind]:.1f} s, {_said(found, red) or 'clean'}", flush=True)
            self.broken += [f"{what}: {text}" for text in found]
            self.red += [f"{what}: {red}"] if red else []
            if found:
                end_leftovers()
        return self._takes_s[kind]

    def _go_on(self, kill: Kill, before: Session) -> list[str]:
        """The same session once more with ``--dynperf-resume``, or anew where it had not begun or was complete; it must complete."""
        report = before.report()
        resumable = report is not None and not report["complete"]
        session = start(before.root, before.leases, [*self._arguments(kill), *(["--dynperf-resume"] if resumable else [])])
        found = [] if finish(session, SESSION_S) else [f"going on: had not ended after {SESSION_S:g} s"]
        found += [f"going on: {text}" for text in self._until_clean(session, time.monotonic()) + flaws(session)]
        after = session.report()
        red = _red(session, after) if not found else ""
        what = "went on" if resumable else "began anew"
        print(f"      {what}: {_said(found, red) or 'complete, clean'}", flush=True)
        self.outcomes[what] += 1
        self.red += [f"{kill}, {what}: {red}"] if red else []
        return found

    def _start(self, kill: Kill, name: str) -> Session:
        root = self._root / name
        write_suite(root, self._options.plant)
        return start(root, self._root / "leases", self._arguments(kill))

    def _arguments(self, kill: Kill) -> list[str]:
        own = shlex.split(self._options.container_arguments) if kill.launcher == "container" else []
        workers = ["-n", str(kill.xdist_workers)] if kill.xdist_workers else []
        return [*workers, *own, *shlex.split(self._options.arguments)]

    def _until_clean(self, session: Session, began_s: float) -> list[str]:
        while found := left_behind(session):
            if time.monotonic() > began_s + CLEAN_S:
                return found
            time.sleep(0.1)
        return []

    def _state(self, session: Session) -> str:
        try:
            report = session.report()
        except ValueError:
            return "session torn"
        if report is None:
            return "no session"
        return "session complete" if report["complete"] else f"session incomplete, {len(report['cases'])} cases"

    def _note(self, kill: Kill, session: Session, found: list[str]) -> None:
        if found:
            self.broken += [f"{kill}: {text}" for text in found]
            print(f"      kept: {session.root}", flush=True)
            end_leftovers()
        else:
            self.outcomes[self._state(session).partition(",")[0]] += 1
            shutil.rmtree(session.root, ignore_errors=True)


def _red(session: Session, report: dict[str, Any] | None) -> str:
    """Why a session that should have completed did not; empty when it did."""
    if not session.process.returncode and report is not None and report["complete"]:
        return ""
    return f"ended with {session.process.returncode}:\n{session.output()[-3000:]}"


def _said(left: list[str], red: str = "") -> str:
    return f"LEFT {'; '.join(left)}" if left else f"RED {red}" if red else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when nothing was left."""
    options = _options(arguments)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As a shell leaves it to what it starts with &: every session would inherit it, and none could be interrupted.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    adopt_orphans()
    root = Path(tempfile.mkdtemp(prefix="kills-"))
    campaign = Campaign(options, root)
    planned = kills(options.count, options.seed, options.launchers)[options.first - 1 :]
    began_s, ended = time.monotonic(), 0
    for kill in planned:
        if time.monotonic() - began_s > options.minutes * 60:
            break
        campaign.one(kill)
        ended += 1
    counts = ", ".join(f"{number} {what}" for what, number in sorted(campaign.outcomes.items()))
    print(f"{ended} sessions ended, {len(campaign.broken)} left something, {len(campaign.red)} failed unharmed: {counts or 'none clean'}")
    for text in (*campaign.broken, *campaign.red):
        print(f"  {text}")
    if not campaign.broken:
        shutil.rmtree(root, ignore_errors=True)
    return 1 if campaign.broken or campaign.red else 0


if __name__ == "__main__":
    sys.exit(main())
