"""Checks of interpreter, packages, container engine, images and weights. Pure: facts and a need in, findings out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.session.doctor_facts import NoEngine
from pytest_dynperf.session.doctor_finding import Fine, Lack, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dynperf.session.doctor_facts import EngineFacts, Facts, Software
    from pytest_dynperf.session.doctor_finding import Finding
    from pytest_dynperf.session.doctor_need import Need

OLDEST_PYTHON = (3, 11)
NEWEST_FOR_DYNAMO = (3, 12)
"""ai-dynamo has no wheels for a newer one."""
OLDEST_API = (1, 41)
"""Of Docker 20.10: the oldest that is tried."""

_ENGINE_PACKAGES = {"vllm": ("vllm",), "sglang": ("sglang",), "trtllm": ("tensorrt-llm",), "mocker": (), "unknown": ()}
_GATED = (
    "meta-llama/",
    "mistralai/",
    "google/gemma",
    "google/medgemma",
    "stabilityai/",
    "CohereLabs/",
    "nvidia/Cosmos",
    "black-forest-labs/",
)
"""Beginnings of models whose licence has to be accepted on their page before they can be fetched."""
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


def software(facts: Facts, need: Need) -> Iterator[Finding]:
    """Interpreter, packages and programs: those of Dynamo's services where they are processes."""
    yield _python(facts.software, need)
    processes = need.platform.launcher == "process"
    if need.installed_engine:
        yield _installed(facts.software)
    elif processes:
        wanted = {"ai-dynamo", *(package for engine in need.engines for package in _ENGINE_PACKAGES[engine])}
        if any("lmcache" in " ".join(role.args).lower() for topology in need.topologies for role in topology.roles.values()):
            wanted.add("lmcache")
        for name in sorted(wanted):
            yield _package(facts.software, name)
    if processes:
        programs = ["etcd", *(["nats-server"] if any(topology.planes == "nats" for topology in need.topologies) else [])]
        for name in programs:
            yield _program(facts.software, name)


def container_engine(facts: Facts, need: Need) -> Iterator[Finding]:
    """The engine, its age, whether it can hand out GPUs, and the images: nothing is ever fetched."""
    if not need.containers:
        return
    if "docker" not in facts.software.packages:
        yield Lack(
            id="package.docker",
            severity=Severity.MISSING,
            what="Python package docker",
            found="not installed",
            remedy='install it beside pytest: pip install "docker>=7.1"',
        )
    engine = facts.engine
    if isinstance(engine, NoEngine):
        found, _, remedy = engine.reason.partition(". ")
        yield Lack(
            id="engine",
            severity=Severity.MISSING,
            what="container engine",
            found=found,
            remedy=remedy or "install Docker 20.10 or newer and start it: systemctl start docker",
        )
        return
    yield _age(engine)
    if need.gpu_count:
        yield _toolkit(engine)
    for image in need.images:
        yield _image(engine, image)


def models(facts: Facts, need: Need) -> Iterator[Finding]:
    """Weights: complete, or what is lacking, and whether fetching them needs a token. The value of no token is ever shown."""
    for name in need.models:
        found = facts.models.get(name)
        if found is None:
            continue
        what = f"weights of {name}"
        if not found.lacks:
            yield Fine(id="model.weights", what=what, found=f"complete, {found.bytes / 2**30:.1f} GiB in {found.place}")
            continue
        lacks = ", ".join(found.lacks[:3]) + (f" and {len(found.lacks) - 3} more" if len(found.lacks) > 3 else "")
        yield Lack(
            id="model.weights",
            severity=Severity.MISSING,
            what=what,
            found=f"{lacks}, in {found.place}",
            remedy=f"fetch them before measuring: hf download {name} (HF_HOME or HF_HUB_CACHE say where to)",
        )
        if name.startswith(_GATED) and not facts.secrets.intersection(_TOKENS):
            yield Lack(
                id="model.licence",
                severity=Severity.WARNING,
                what=f"licence of {name}",
                found="HF_TOKEN is not set, and the model may be gated",
                remedy=f"accept the licence at https://huggingface.co/{name}, make a read token there, and set HF_TOKEN to it",
            )


def suites(facts: Facts, need: Need) -> Iterator[Finding]:
    """Suites that have no cases on this platform: no harm where nobody asked for them by name."""
    del facts
    for suite, flaw in need.flaws.items():
        yield Lack(
            id="suite",
            severity=Severity.MISSING if need.named else Severity.WARNING,
            what=f"suite {suite}",
            found=flaw,
            remedy=f"state what is missing in [platform.{need.platform.name}] of its scenario.toml, or measure it on another platform",
        )


def _python(facts: Software, need: Need) -> Finding:
    version = ".".join(map(str, facts.python))
    newest = NEWEST_FOR_DYNAMO if need.platform.launcher == "process" else None
    if facts.python[:2] < OLDEST_PYTHON or (newest is not None and facts.python[:2] > newest):
        allowed = "3.11 or newer" if newest is None else "3.11 or 3.12"
        return Lack(
            id="python",
            severity=Severity.MISSING,
            what="Python",
            found=f"{version}, needed is {allowed}",
            remedy="make an environment with another interpreter: python3.12 -m venv .venv",
        )
    return Fine(id="python", what="Python", found=f"{version} ({facts.executable})")


def _installed(facts: Software) -> Finding:
    what = "real engine for processes"
    if facts.installed is not None:
        return Fine(id="engine.installed", what=what, found=facts.installed)
    return Lack(
        id="engine.installed", severity=Severity.MISSING, what=what, found="not installed", remedy="install it: dynperf engines install cpu"
    )


def _package(facts: Software, name: str) -> Finding:
    version = facts.packages.get(name)
    if version is not None:
        return Fine(id=f"package.{name}", what=f"Python package {name}", found=version)
    extra = 'pip install "pytest-dynperf[mocker]"' if name == "ai-dynamo" else f"pip install {name}"
    return Lack(
        id=f"package.{name}",
        severity=Severity.MISSING,
        what=f"Python package {name}",
        found=f"not installed for {facts.executable}",
        remedy=f"install it there: {extra}",
    )


def _program(facts: Software, name: str) -> Finding:
    found = facts.programs.get(name)
    if found is not None:
        return Fine(id=f"program.{name}", what=name, found=found)
    return Lack(
        id=f"program.{name}",
        severity=Severity.MISSING,
        what=name,
        found=f"neither beside {facts.executable} nor on PATH",
        remedy='install it: pip install "pytest-dynperf[mocker]", or your distribution\'s package',
    )


def _age(engine: EngineFacts) -> Finding:
    numbers = tuple(int(part) for part in engine.api.split(".") if part.isdigit())
    if numbers < OLDEST_API:
        return Lack(
            id="engine",
            severity=Severity.MISSING,
            what="container engine",
            found=f"{engine.version} speaks API {engine.api or 'unknown'}, needed is 1.41",
            remedy="update it to Docker 20.10 or newer",
        )
    return Fine(id="engine", what="container engine", found=f"{engine.version}, API {engine.api}, at {engine.path}")


def _toolkit(engine: EngineFacts) -> Finding:
    if engine.gpus is not None:
        return Fine(id="engine.gpus", what="GPUs in containers", found=engine.gpus)
    return Lack(
        id="engine.gpus",
        severity=Severity.MISSING,
        what="GPUs in containers",
        found="the engine knows neither a runtime nvidia nor CDI devices of NVIDIA",
        remedy="install nvidia-container-toolkit, run `nvidia-ctk runtime configure --runtime=docker` as root, restart the engine",
    )


def _image(engine: EngineFacts, image: str) -> Finding:
    found = engine.images.get(image)
    if found is not None:
        return Fine(id="image", what=f"image {image}", found=found)
    return Lack(
        id="image",
        severity=Severity.MISSING,
        what=f"image {image}",
        found="not on this host",
        remedy=f"fetch it before measuring: docker pull {image}",
    )
