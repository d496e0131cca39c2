"""What a container engine answers, in our words: errors with their remedy, how a container ended, which ports it got. Pure."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.deployment.service import ServiceSpec

_PORT_TAKEN = re.compile(r"port is already allocated|address already in use|failed to bind (?:host )?port", re.IGNORECASE)
_TOOLKIT = (
    "the NVIDIA container toolkit is missing on this host: the container engine cannot hand out GPUs. Install the package "
    "nvidia-container-toolkit, run `nvidia-ctk runtime configure --runtime=docker` as root, and restart the engine"
)
_MEANINGS = tuple(
    (re.compile(pattern, re.IGNORECASE), words)
    for pattern, words in (
        (r"could not select device driver|unknown (?:or invalid )?runtime (?:name|specified):? .?nvidia", _TOOLKIT),
        (
            r"unresolvable CDI devices",
            "the container engine knows no such GPU: the NVIDIA container toolkit lists them for it (`nvidia-ctk cdi generate`)",
        ),
        (
            r"nvidia-container-cli:.*(?:unknown device|device error)",
            "this host has no such GPU: see the UUIDs that `nvidia-smi -L` lists",
        ),
        (r"nvidia-container-cli:.*(?:driver|nvml)", "the NVIDIA driver of this host does not answer: does `nvidia-smi` work?"),
        (r"no space left on device", "the container engine's disk is full: `docker system df` shows by what"),
        (
            r"(?:could not find an available|no available|all predefined address pools).*(?:address pool|subnetted|network)",
            "the container engine has no address left for another network: `docker network ls` shows what takes them",
        ),
        (r"exec format error", "its image was built for another processor than this host's"),
        (
            r"executable file not found|stat .*: no such file or directory|exec: .*no such file or directory",
            "its image has no such program",
        ),
        (r"exec: .*permission denied|permission denied: unknown", "its program cannot be executed in the image"),
        (
            r"(?:iptables|nftables|nf_tables).*(?:failed|not found|denied|no chain)",
            "the container engine cannot set up its network rules: it needs iptables and the right to use it",
        ),
        (r"minimum memory limit|memory limit too", "its memory limit is too small for the engine"),
        (r"requested CPUs are not available", "the host does not have the CPUs that it is bound to"),
        (r"bind source path does not exist", "a directory that it needs does not exist on this host"),
    )
)
_ENGINE_TEXT = 400


def is_port_taken(text: str) -> bool:
    """Whether the engine says that somebody else has a port."""
    return _PORT_TAKEN.search(text) is not None


def in_words(text: str) -> str:
    """What an engine's error means and what to do, followed by what it said itself; that alone where nothing more is known."""
    said = " ".join(text.split())
    said = said if len(said) <= _ENGINE_TEXT else f"{said[: _ENGINE_TEXT // 2]} … {said[-_ENGINE_TEXT // 2 :]}"
    meaning = next((words for pattern, words in _MEANINGS if pattern.search(text)), None)
    return said if meaning is None else f"{meaning}. The engine says: {said}"


def missing_image(image: str, service: str) -> str:
    """That ``image`` is not on this host, and what to do. It is never fetched in silence: that takes minutes, and a tag moves."""
    return f"service {service}: the image {image} is not on this host. Fetch it first: docker pull {image}"


def how_ended(state: Mapping[str, object], memory_bytes: int | None) -> str:
    """The ``State`` of a container that has ended, in words. Out of memory comes first: its exit status may well be 0."""
    code = state.get("ExitCode")
    if not isinstance(code, int):
        return "ended, and the container engine does not say how"
    if state.get("OOMKilled"):
        limit = "" if memory_bytes is None else f" (its limit is {memory_bytes / (1 << 20):.0f} MiB)"
        return f"ran out of memory{limit}: the kernel killed a process of it; it ended with exit status {code}"
    said = f" ({' '.join(str(state['Error']).split())})" if state.get("Error") else ""
    # The engine reports a signal as a shell does.
    if 128 < code <= 128 + signal.SIGRTMAX:
        return f"was killed by {_signal_name(code - 128)} (exit status {code}){said}"
    return f"ended with exit status {code}{said}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """A container's IPv4 address on its private network, and the address of the bridge there."""

    address: str
    gateway: str


def bridge_of(network: Mapping[str, object]) -> Bridge | None:
    """From a container's ``NetworkSettings``; ``None`` where it has no network of its own, or more than one."""
    networks = network.get("Networks")
    if not isinstance(networks, dict) or len(networks) != 1:
        return None
    (only,) = networks.values()
    address, gateway = str(only.get("IPAddress") or ""), str(only.get("Gateway") or "")
    return Bridge(address=address, gateway=gateway) if address and gateway else None


def host_ports(spec: ServiceSpec, network: Mapping[str, object]) -> dict[str, int]:
    """Purpose to port of 127.0.0.1 from a container's ``NetworkSettings``. One that is not published (any more) keeps its own number: the
    service has ended, and whoever asks learns that first.
    """
    published = network.get("Ports")
    found: dict[str, int] = {}
    for purpose, port in spec.ports.items():
        bindings = published.get(f"{port}/tcp") if isinstance(published, dict) else None
        first = next((one for one in bindings or () if isinstance(one, dict) and one.get("HostIp") == "127.0.0.1"), {})
        number = str(first.get("HostPort", ""))
        found[purpose] = int(number) if number.isdigit() and number != "0" else port
    return found


def image_identity(image: str, described: Mapping[str, object]) -> str:
    """``repository@sha256:…`` as the registry knows it, or ``name (local sha256:…)`` for an image that was made here."""
    digests = described.get("RepoDigests")
    known = [str(one) for one in digests] if isinstance(digests, list) else []
    repository = image.partition("@")[0]
    last = repository.rpartition("/")[2]
    repository = repository.removesuffix(f":{last.partition(':')[2]}") if ":" in last else repository
    own = next(
        (one for one in known if one.partition("@")[0] in {repository, f"docker.io/{repository}", f"docker.io/library/{repository}"}), None
    )
    if own or known:
        return own or known[0]
    return f"{image} (local {described.get('Id') or 'unknown'})"


def program_of(described: Mapping[str, object], name: str) -> str:
    """The program ``name`` as the image itself starts it, which may be outside of its PATH; else the name alone."""
    config = described.get("Config")
    words = [str(word) for key in ("Entrypoint", "Cmd") for word in ((config.get(key) if isinstance(config, dict) else None) or ())]
    return next((word for word in words if word.rpartition("/")[2] == name), name)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
