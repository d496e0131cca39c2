"""The launchers that start services, and the same small services for each of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.container_launcher import ContainerLauncher
from pytest_dynperf.deployment.container_spec import DIRECTORY
from pytest_dynperf.deployment.process_launcher import ProcessLauncher
from pytest_dynperf.deployment.service import ReadyCheck, ServiceSpec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_dynperf.deployment.launcher import Launcher

SLEEP = "print('up', flush=True)\nimport time\ntime.sleep(600)"
SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
        if self.path == "/end":
            self.wfile.flush()
            os._exit(0)
print("up", flush=True)
http.server.ThreadingHTTPServer((os.environ["BIND"], int(os.environ["PORT"])), Handler).serve_forever()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A launcher, and how the same service is said for it. ``state`` is where services write, as they
    see it."""

    name: str
    session: str
    launcher: Launcher
    python: str
    state: str
    bind: str
    image: str | None = None

    def spec(
        self,
        name: str,
        code: str,
        *,
        role: str = "worker",
        argv: tuple[str, ...] = (),
        env: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> ServiceSpec:
        """A service that runs ``code``; ``BIND`` and ``PORT`` are its ``port``, where it has one."""
        listens = {} if port is None else {"BIND": self.bind, "PORT": str(port)}
        return ServiceSpec(
            name=name,
            role=role,
            argv=argv or (self.python, "-u", "-c", code),
            env={**(env or {}), **listens},
            ports={} if port is None else {"http": port},
            ready=ReadyCheck(port="http", path="/"),
            working_directory=f"{self.state}/work",
            directories=(f"{self.state}/home",),
            files=files or {},
            image=self.image,
        )

    def server(self, name: str = "server") -> ServiceSpec:
        """A service that answers ``ok`` over HTTP."""
        return self.spec(name, SERVER, port=self.launcher.choose_ports(1)[0])


def process_kind(directory: Path, session: str) -> Kind:
    """Processes of this host."""
    return Kind(
        name="process",
        session=session,
        launcher=ProcessLauncher(session=session),
        python=sys.executable,
        state=str(directory / "state"),
        bind="127.0.0.1",
    )


def container_kind(image: str, session: str) -> Kind:
    """Containers of ``image``, which must have a Python."""
    return Kind(
        name="container",
        session=session,
        launcher=ContainerLauncher(session=session),
        python="python3",
        state=DIRECTORY,
        bind="0.0.0.0",
        image=image,
    )
