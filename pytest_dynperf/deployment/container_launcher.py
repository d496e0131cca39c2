"""The launcher of containers: hardened, on a private network, and gone when the session is, however it goes.

A *sentinel* container reads the standard input that this process holds, and all others share its process namespace. When the kernel closes
that socket, because this process ended in whatever way, the sentinel ends, and the kernel kills everything in the namespace. What remains
are ended containers and their network: the reaper removes those.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

from pytest_dynperf.deployment import reaper
from pytest_dynperf.deployment.container import ContainerService
from pytest_dynperf.deployment.container_engine import attach, connect, create_container, describe_image, frames, translated
from pytest_dynperf.deployment.container_spec import (
    MARK_LABEL,
    SENTINEL,
    VOLUME,
    Birth,
    ContainerSettings,
    archive,
    network_body,
    sentinel_body,
    service_body,
)
from pytest_dynperf.deployment.container_words import image_identity, missing_image
from pytest_dynperf.deployment.ports import free_ports
from pytest_dynperf.deployment.process import STOP_S, new_mark
from pytest_dynperf.deployment.service import INFRASTRUCTURE
from pytest_dynperf.deployment.session_lock import boot_id
from pytest_dynperf.errors import DeploymentError
from pytest_dynperf.secret import known_secrets

if TYPE_CHECKING:
    import socket
    import subprocess
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_dynperf.deployment.container_engine import Engine
    from pytest_dynperf.deployment.launcher import Group
    from pytest_dynperf.deployment.service import ServiceSpec

SENTINELS = (
    ("cat",),
    ("sh", "-c", "while read -r line; do echo up; done"),
    ("python3", "-c", "import sys\nfor _ in sys.stdin: print('up', flush=True)"),
)
"""Programs that answer each line and end with their standard input, tried in this order: images differ in what they have."""
_ANSWER_S = 20.0
_REMOVING_S = 1.5
_INFRASTRUCTURE_S = 0.5
_FIRST_PORT = 20000
_AT_ONCE = 8


class ContainerGroup:
    """Containers that were started together. ``images`` maps roles to what exactly runs, ``engine`` is who runs it."""

    def __init__(self, engine: Engine, *, birth: Birth, settings: ContainerSettings, directory: Path) -> None:
        self.engine = engine
        self.services: dict[str, ContainerService] = {}
        self.images: dict[str, str] = {}
        self._birth = birth
        self._settings = settings
        self._directory = directory
        self._guard: subprocess.Popen[bytes] | None = None
        self._lifeline: socket.socket | None = None
        self._sentinel = ""
        self._sentinels = 0
        self._making = False

    def open(self, images: Sequence[str]) -> None:
        """Start the reaper, the network and the sentinel, whose program comes from the first of ``images`` that has one.

        :raises DeploymentError: when one of them cannot be had.
        """
        try:
            self._guard = reaper.start(self._birth.mark, directories=(str(self._directory.absolute()),), engine=self.engine.path)
        except OSError as error:
            msg = f"cannot start the reaper: {error.strerror or error}"
            raise DeploymentError(msg) from error
        if not self._settings.host_network:
            body = network_body(self._birth)
            with translated("cannot make a private network"), self._asked_for():
                self.engine.client.create_network(
                    str(body["Name"]), driver=str(body["Driver"]), labels=self._birth.labels, check_duplicate=True
                )
        failures = self._watch_over(images)
        if failures and any("rlimit" in text for text in failures):
            # An engine that may not raise limits itself (it runs in a container) gives what it has.
            self._settings = replace(self._settings, open_files=None)
            failures = self._watch_over(images)
        if failures:
            msg = f"no image has a program that can watch over the others (cat, sh or python3). Last: {failures[-1]}"
            raise DeploymentError(msg)

    def _watch_over(self, images: Sequence[str]) -> list[str]:
        """Start the sentinel; what went wrong with each attempt where none succeeded."""
        failures: list[str] = []
        for image, argv in product(images, SENTINELS):
            try:
                self._start_sentinel(sentinel_body(argv, image=image, birth=self._birth, settings=self._settings))
                return []
            except DeploymentError as error:
                failures.append(f"{image}: {error}")
                if "rlimit" in str(error):
                    break
        return failures

    def _start_sentinel(self, body: Mapping[str, object]) -> None:
        self._sentinels += 1
        name = self._birth.name(SENTINEL if self._sentinels == 1 else f"{SENTINEL}-{self._sentinels}")
        with translated("cannot create the sentinel container"), self._asked_for():
            self._sentinel = create_container(self.engine, body, name)
        lifeline = attach(self.engine, self._sentinel, stdin=True)
        try:
            with translated("cannot start the sentinel container"):
                self.engine.client.start(self._sentinel)
            _check_answers(lifeline)
        except BaseException:
            lifeline.close()
            raise
        self._lifeline = lifeline

    def add(self, spec: ServiceSpec, log: Path) -> None:
        """Create and start one service.

        :raises DeploymentError: when the engine cannot.
        """
        variables = {reaper.VARIABLE: self._birth.mark}
        body = service_body(spec, birth=self._birth, sentinel=self._sentinel, settings=self._settings, variables=variables)
        with translated(f"cannot create service {spec.name} (image {spec.image})", known_secrets(spec.env, arguments=spec.argv)):
            with self._asked_for():
                container = create_container(self.engine, body, self._birth.name(spec.name))
            self.engine.client.put_archive(container, VOLUME, archive(spec))
        service = ContainerService(self.engine, spec, container=container, log=log, memory_bytes=self._settings.memory_bytes)
        service.start()
        self.services[spec.name] = service

    @contextlib.contextmanager
    def _asked_for(self) -> Iterator[None]:
        """While the engine makes something. Left by an exception, nobody knows whether and when it will be there."""
        self._making = True
        yield
        self._making = False

    def incident(self) -> str | None:
        """Which service ended although nobody asked it to; ``None`` while all run. No system call."""
        return next((text for service in self.services.values() if (text := service.incident()) is not None), None)

    def stop(self) -> None:
        """Stop and remove all: 0.5 to 1 s for a healthy stack, within 4 s. May be called again."""
        services, self.services = tuple(self.services.values()), {}
        infrastructure = [service for service in services if service.spec.role in INFRASTRUCTURE]
        users = [service for service in services if service not in infrastructure]
        last = time.monotonic() + STOP_S - _REMOVING_S
        try:
            _end(users, last - _INFRASTRUCTURE_S)
            _end(infrastructure, last)
        finally:
            self._remove(services)

    def _remove(self, services: Sequence[ContainerService]) -> None:
        lifeline, self._lifeline = self._lifeline, None
        guard, self._guard = self._guard, None
        if guard is None:
            return
        if lifeline is not None:
            lifeline.close()
        try:
            clean = self._remove_marked()
            for service in services:
                service.release()
            shutil.rmtree(self._directory, ignore_errors=True)
        except BaseException:
            reaper.let_go(guard, clean=False)
            raise
        # What could not be removed, or is still being made, is the reaper's: it looks as long as it has patience, and nobody waits.
        reaper.let_go(guard, clean=clean and not self._making)
        self.engine.close()

    def _remove_marked(self) -> bool:
        """Remove all that carries the mark, remembered or not; whether all of it is gone. 0.1 to 0.4 s."""
        client = self.engine.client
        marked = {"label": f"{MARK_LABEL}={self._birth.mark}"}
        try:
            with translated("removing containers"):
                found = [str(one["Id"]) for one in client.containers(all=True, filters=marked)]
            with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
                gone = all(pool.map(self._remove_one, found))
            with translated("removing the network"):
                for network in client.networks(filters=marked):
                    client.remove_network(network["Id"])
        except DeploymentError:
            return False
        return gone

    def _remove_one(self, container: str) -> bool:
        from docker.errors import NotFound

        try:
            with translated("removing a container"), contextlib.suppress(NotFound):
                self.engine.client.remove_container(container, v=True, force=True)
        except DeploymentError:
            return False
        return True


class ContainerLauncher:
    """Starts services as containers of this host's engine. ``session`` is what their labels say, and a part of their mark."""

    name = "container"

    def __init__(self, *, session: str = "", settings: ContainerSettings | None = None) -> None:
        self._session = session
        self.settings = settings or ContainerSettings(cpuset=own_cpus())

    def choose_ports(self, count: int) -> tuple[int, ...]:
        """Any will do: each container has an address of its own, and the engine chooses what is published."""
        return free_ports(count) if self.settings.host_network else tuple(range(_FIRST_PORT, _FIRST_PORT + count))

    def start(
        self,
        specs: Sequence[ServiceSpec],
        *,
        directory: Path,
        log_path: Callable[[str], Path],
        before: Callable[[ServiceSpec, Group], None] | None = None,
    ) -> ContainerGroup:
        """As :meth:`Launcher.start`; about 0.4 s a service. Images must be there: none is fetched.

        :raises DeploymentError: also when there is no engine, or a service asks for what is refused.
        """
        birth = Birth(session=self._session, mark=new_mark(self._session), boot=boot_id())
        for spec in specs:
            # Everything that can be known beforehand, before anything runs.
            service_body(spec, birth=birth, sentinel="", settings=self.settings, variables={})
        engine = connect()
        group = ContainerGroup(engine, birth=birth, settings=self.settings, directory=directory)
        try:
            group.images = identities(engine, specs)
            if specs:
                # Whatever uses the infrastructure stands last, and rather has a shell.
                group.open(tuple(dict.fromkeys(str(spec.image) for spec in reversed(specs))))
            for spec in specs:
                if before is not None:
                    before(spec, group)
                group.add(spec, log_path(spec.name))
        except BaseException:
            group.stop()
            engine.close()
            raise
        return group


def identities(engine: Engine, specs: Iterable[ServiceSpec]) -> dict[str, str]:
    """Role to the image that it runs, by digest.

    :raises DeploymentError: for an image that is not on this host.
    """
    found: dict[str, str] = {}
    for spec in specs:
        image = str(spec.image)
        described = describe_image(engine, image)
        if described is None:
            raise DeploymentError(missing_image(image, spec.name))
        found[spec.role] = image_identity(image, described)
    return found


def _check_answers(lifeline: socket.socket) -> None:
    """A container has started before its program is looked for; an answer proves both the program and the line to it."""
    lifeline.settimeout(_ANSWER_S)
    try:
        lifeline.sendall(b"up\n")
        answer = next(frames(lifeline), b"")
    except OSError as error:
        answer = str(error).encode()
    if answer != b"up\n":
        msg = f"the sentinel does not answer: {answer.decode('utf-8', 'replace').strip() or 'it ended at once'}"
        raise DeploymentError(msg)
    lifeline.settimeout(None)


def own_cpus() -> str | None:
    """The CPUs that this process may use, as the engine writes them, where they are not all: containers would not inherit that."""
    own = sorted(os.sched_getaffinity(0))
    return None if len(own) == (os.cpu_count() or len(own)) else ",".join(map(str, own))


def _end(services: Sequence[ContainerService], deadline: float) -> None:
    """SIGTERM to all at once; then wait until all have ended or ``deadline`` has passed."""
    if not services:
        return
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        for _ in pool.map(ContainerService.ask_to_end, services):
            pass
    for service in services:
        service.wait(deadline - time.monotonic())
