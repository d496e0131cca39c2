"""Cuts a container off, by iptables in its network namespace: netem is not in every kernel, this is.

The namespace is entered through ``/proc/PID/ns/net`` of the container's first process, as this host numbers it, so it works for every
engine that lets us see its processes. A service that shares this host's network is refused: its rules would cut off this host.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.errors import FaultError, UnsupportedFaultError

if TYPE_CHECKING:
    from pytest_dynperf.deployment.launcher import Service

_PATIENCE_S = 10.0
_RULES = (("INPUT", "-i"), ("OUTPUT", "-o"))
_WAIT = ("-w", "5")  # for the lock that iptables takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What :func:`connect` undoes: rules in the namespace that ``descriptor`` holds open, whatever becomes of its processes."""

    service: str
    descriptor: int
    iptables: str


def disconnect(service: Service) -> Cut:
    """Drop every packet into and out of the network of ``service``, loopback excepted. About 20 ms.

    :raises UnsupportedFaultError: no container, or no nsenter, iptables or privilege.
    """
    path = require_own_network(service)
    name = service.spec.name
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError as error:
        raise UnsupportedFaultError(_no_privilege(name, path, error)) from error
    try:
        iptables = _program("iptables", name)
        cut = Cut(service=name, descriptor=descriptor, iptables=iptables)
        for done, rule in enumerate(_RULES):
            try:
                _change(cut, "-I", rule)
            except FaultError:
                for undo in _RULES[:done]:
                    _change(cut, "-D", undo)
                raise
    except BaseException:
        os.close(descriptor)
        raise
    return cut


def require_own_network(service: Service) -> str:
    """Where its network namespace is.

    :raises UnsupportedFaultError: when it is that of this host, or may not be looked at.
    :raises FaultError: when the service does not run.
    """
    name = service.spec.name
    if not service.pids:
        msg = f"service {name} does not run: there is nothing to cut off"
        raise FaultError(msg)
    path = f"/proc/{service.pids[0]}/ns/net"
    try:
        shared = Path(path).readlink() == Path("/proc/self/ns/net").readlink()
    except PermissionError as error:
        raise UnsupportedFaultError(_no_privilege(name, path, error)) from error
    if shared:
        msg = f"service {name} cannot be cut off: it shares the network of this host. Cutting off needs containers"
        raise UnsupportedFaultError(msg)
    return path


def _no_privilege(name: str, path: str, error: OSError) -> str:
    return f"service {name} cannot be cut off: {path} cannot be looked at ({error.strerror}). Cutting off needs root"


def connect(cut: Cut) -> None:
    """Undo :func:`disconnect`. Once.

    :raises FaultError: when the rules could not be removed.
    """
    try:
        for rule in _RULES:
            _change(cut, "-D", rule)
    finally:
        os.close(cut.descriptor)


def _change(cut: Cut, change: str, rule: tuple[str, str]) -> None:
    chain, interface = rule
    place = ("1",) if change == "-I" else ()
    argv = (
        *(_program("nsenter", cut.service), f"--net=/proc/self/fd/{cut.descriptor}", cut.iptables, *_WAIT),
        *(change, chain, *place, "!", interface, "lo", "-j", "DROP"),
    )
    try:
        done = subprocess.run(argv, pass_fds=(cut.descriptor,), capture_output=True, check=False, timeout=_PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        msg = f"service {cut.service} cannot be cut off or connected: {argv[0]}: {error}"
        raise FaultError(msg) from error
    if done.returncode:
        said = " ".join(done.stderr.decode("utf-8", "replace").split())[:200]
        msg = f"service {cut.service} cannot be cut off or connected: iptables {change} {chain} ended with {done.returncode}: {said}"
        raise UnsupportedFaultError(msg) if change == "-I" else FaultError(msg)


def _program(program: str, service: str) -> str:
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        msg = f"service {service} cannot be cut off: {program} is missing. Install it: apt-get install iptables util-linux"
        raise UnsupportedFaultError(msg)
    return found
