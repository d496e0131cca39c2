"""Checks of the machine itself, and of what earlier sessions have left on it. Pure: facts and a need in, findings out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.quantity import Absent
from pytest_dynperf.session.doctor_facts import NoEngine
from pytest_dynperf.session.doctor_finding import Fine, Lack, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dynperf.session.doctor_facts import Disk, Facts, Host
    from pytest_dynperf.session.doctor_finding import Finding
    from pytest_dynperf.session.doctor_need import Need

GIB = 1 << 30
STEP_S = 0.005
"""Kernel stamps are of the wall clock: a run in which it was stepped by more is invalid."""
_SLOW_CLOCKS = ("hpet", "acpi_pm", "jiffies", "refined-jiffies")
_RESERVE = 64
_LEAST_FREE = {"run directory": (GIB // 4, 2 * GIB), "cache": (GIB // 16, GIB), "temporary directory": (GIB // 4, 2 * GIB)}
"""Below the first nothing can be measured, below the second a night may fill it."""


def host(facts: Facts, need: Need) -> Iterator[Finding]:
    """Ports, disks, clock, CPUs, memory, open files, the tree."""
    found = facts.host
    if need.ports:
        yield _ports(found, need)
    for name, disk in found.disks.items():
        yield _disk(name, disk)
    yield from _engine_disk(facts, need)
    yield _clock(found)
    if not isinstance(found.clock_source, Absent) and found.clock_source in _SLOW_CLOCKS:
        yield Lack(
            id="clock.source",
            severity=Severity.WARNING,
            what="clock source",
            found=f"{found.clock_source}: reading the clock takes microseconds",
            remedy="boot with clocksource=tsc where the CPU's counter is reliable (dmesg | grep -i clocksource)",
        )
    yield from _cpus(found, need)
    yield _memory(found, need)
    yield _open_files(found, need)
    if found.git.get("git.dirty") == "yes":
        yield Lack(
            id="git.tree",
            severity=Severity.WARNING,
            what="work tree",
            found=f"differs from its commit {found.git.get('git.commit', 'unknown')[:12]}",
            remedy="commit before --update-baselines: a baseline could not say what it measured",
        )


def leftovers(facts: Facts, need: Need) -> Iterator[Finding]:
    """Who measures here now, and what sessions that are gone have left."""
    del need
    left = facts.left
    for lock, who in left.holders.items():
        yield Lack(
            id="lease",
            severity=Severity.MISSING,
            what=f"lease {lock}",
            found=f"held by {who}",
            remedy="wait for it (pytest … --dynperf-lease-wait=600), or end that process",
        )
    if not left.holders:
        yield Fine(id="lease", what="lease of this host", found="free")
    stale = {pid: session for pid, session in left.processes.items() if session not in left.alive}
    if stale:
        pids = " ".join(map(str, stale))
        yield Lack(
            id="leftover.processes",
            severity=Severity.WARNING,
            what="processes of sessions that are gone",
            found=", ".join(f"{pid} ({session or 'unknown session'})" for pid, session in stale.items()),
            remedy=f"the next session ends those whose session it can prove dead; whose the rest are shows ps -o pid,lstart,args -p "
            f"{','.join(map(str, stale))}; then: kill -9 {pids}",
        )
    for kind, things in (("container", left.containers), ("network", left.networks)):
        names = [name for name, session in things.items() if session not in left.alive]
        if names:
            remove = "docker rm -f" if kind == "container" else "docker network rm"
            yield Lack(
                id=f"leftover.{kind}s",
                severity=Severity.WARNING,
                what=f"{kind}s of sessions that are gone",
                found=", ".join(names),
                remedy=f"the next session removes them; or now: {remove} {' '.join(names)}",
            )
    if left.directories:
        yield Lack(
            id="leftover.directories",
            severity=Severity.WARNING,
            what="temporary directories of sessions that are gone",
            found=", ".join(left.directories),
            remedy=f"the next session removes them; or now: rm -r {' '.join(left.directories)}",
        )


def _ports(found: Host, need: Need) -> Finding:
    if found.ports_free < need.ports:
        return Lack(
            id="ports",
            severity=Severity.MISSING,
            what="free TCP ports",
            found=f"{found.ports_free} between 20000 and 32000, needed are {need.ports}",
            remedy="see what listens there, and end it: ss -ltnp",
        )
    return Fine(id="ports", what="free TCP ports", found=f"at least {need.ports} between 20000 and 32000")


def _disk(name: str, disk: Disk) -> Finding:
    what, id_ = f"{name} {disk.path}", f"disk.{name.split(maxsplit=1)[0]}"
    least, good = _LEAST_FREE.get(name, (0, 0))
    if not disk.writable:
        return Lack(
            id=id_,
            severity=Severity.MISSING,
            what=what,
            found="cannot be written by this user",
            remedy="choose another place: --dynperf-reports=DIR, XDG_CACHE_HOME for the cache, TMPDIR for temporary files",
        )
    if isinstance(disk.free_bytes, Absent):
        return Lack(
            id=id_,
            severity=Severity.UNKNOWN,
            what=what,
            found=f"free space unknown: {disk.free_bytes.reason}",
            remedy=f"look with df {disk.path}",
        )
    free = f"{disk.free_bytes / GIB:.1f} GiB free"
    if disk.free_bytes < good:
        return Lack(
            id=id_,
            severity=Severity.MISSING if disk.free_bytes < least else Severity.WARNING,
            what=what,
            found=f"{free}, {good / GIB:g} GiB are good to have",
            remedy="make room: old run directories and baselines of other machines can go; or choose another place (--dynperf-reports=DIR)",
        )
    return Fine(id=id_, what=what, found=free)


def _engine_disk(facts: Facts, need: Need) -> Iterator[Finding]:
    engine = facts.engine
    if not need.containers or isinstance(engine, NoEngine) or isinstance(engine.root_free_bytes, Absent):
        return
    lacking = [image for image in need.images if engine.images.get(image) is None]
    wanted = 2 * GIB + 25 * GIB * len(lacking)
    what, found = f"container engine's directory {engine.root}", f"{engine.root_free_bytes / GIB:.1f} GiB free"
    if engine.root_free_bytes >= wanted:
        yield Fine(id="disk.engine", what=what, found=found)
        return
    yield Lack(
        id="disk.engine",
        severity=Severity.WARNING,
        what=what,
        found=f"{found}, {wanted / GIB:g} GiB are good to have for {len(lacking)} more images and for logs",
        remedy="see what takes it (docker system df) and remove images that nobody needs (docker image rm)",
    )


def _clock(found: Host) -> Finding:
    step_ms = abs(found.clock_step_s) * 1e3
    if abs(found.clock_step_s) > STEP_S:
        return Lack(
            id="clock",
            severity=Severity.WARNING,
            what="wall clock",
            found=f"moved by {step_ms:.1f} ms against the monotonic clock while this was looked at",
            remedy="wait until time synchronisation has settled (timedatectl, chronyc tracking): a run with such a step is invalid",
        )
    return Fine(id="clock", what="wall clock", found=f"steady ({step_ms:.2f} ms against the monotonic clock)")


def _cpus(found: Host, need: Need) -> Iterator[Finding]:
    wanted = 1 if need.attached else 2
    if found.cpu_count < wanted:
        yield Lack(
            id="cpu.count",
            severity=Severity.WARNING,
            what="CPUs",
            found=f"{found.cpu_count}: services and load share it",
            remedy="give the machine, or the container (--cpus), two CPUs at least",
        )
    else:
        yield Fine(id="cpu.count", what="CPUs", found=str(found.cpu_count))
    if isinstance(found.load_1m, Absent):
        yield Lack(
            id="cpu.load",
            severity=Severity.UNKNOWN,
            what="CPU load",
            found=f"unknown: {found.load_1m.reason}",
            remedy="look with uptime",
        )
    elif found.load_1m > 0.5 * found.cpu_count:
        yield Lack(
            id="cpu.load",
            severity=Severity.WARNING,
            what="CPU load",
            found=f"{found.load_1m:.1f} on {found.cpu_count} CPUs over the last minute",
            remedy="wait until builds and other jobs are done (top shows them): the load generator and the services need the CPUs",
        )
    else:
        yield Fine(id="cpu.load", what="CPU load", found=f"{found.load_1m:.1f} on {found.cpu_count} CPUs")
    if isinstance(found.governors, Absent):
        yield Lack(
            id="cpu.governor",
            severity=Severity.UNKNOWN,
            what="CPU frequency",
            found=f"unknown: {found.governors.reason}",
            remedy="usual on a virtual machine, where the host decides; on hardware of your own load the cpufreq driver",
        )
    elif set(found.governors) != {"performance"}:
        yield Lack(
            id="cpu.governor",
            severity=Severity.WARNING,
            what="CPU frequency",
            found=f"governor {', '.join(found.governors)}",
            remedy="set it to performance for measuring: cpupower frequency-set -g performance (as root)",
        )
    else:
        yield Fine(id="cpu.governor", what="CPU frequency", found="governor performance")


def _memory(found: Host, need: Need) -> Finding:
    good = (16 if need.gpu_count else 1 if need.attached else 2) * GIB
    free = f"{found.memory_available_bytes / GIB:.1f} of {found.memory_total_bytes / GIB:.1f} GiB available"
    if found.memory_available_bytes >= good:
        return Fine(id="memory", what="memory", found=free)
    return Lack(
        id="memory",
        severity=Severity.MISSING if found.memory_available_bytes < good // 8 else Severity.WARNING,
        what="memory",
        found=f"{free}, {good / GIB:g} GiB are good to have",
        remedy="end what takes it (ps aux --sort -rss), or take a larger machine: a service that runs out of memory is killed",
    )


def _open_files(found: Host, need: Need) -> Finding:
    soft, hard, used = found.open_files
    wanted = need.connections + used + _RESERVE
    if hard < wanted:
        return Lack(
            id="open-files",
            severity=Severity.MISSING,
            what="open files",
            found=f"at most {hard} (ulimit -Hn); {need.connections} connections need {wanted}",
            remedy="raise the hard limit: in /etc/security/limits.conf, LimitNOFILE= of the unit, or docker run --ulimit nofile=65536",
        )
    if soft < 2 * need.connections + 256:
        return Lack(
            id="open-files",
            severity=Severity.WARNING,
            what="open files",
            found=f"{soft} (ulimit -n), which services inherit; {need.connections} connections at once are asked for",
            remedy="raise the soft limit before measuring: ulimit -n 65536",
        )
    return Fine(id="open-files", what="open files", found=f"{soft} (ulimit -n) for {need.connections} connections at once")
