"""What the doctor has gathered of this machine, as values. What could not be learnt is Absent with the reason: unknown, never fine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.accelerator.device import Gpu, GpuReading
    from pytest_dynperf.quantity import Absent


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """``python`` is (major, minor, micro) of the interpreter ``executable``. ``packages``: distribution to version, installed ones alone;
    ``programs``: ``etcd`` and ``nats-server`` to ``path (version)``, those that were found. ``installed``: what of the real engine that
    runs as processes is here (``None``: nothing).
    """

    python: tuple[int, int, int]
    executable: str
    packages: Mapping[str, str]
    programs: Mapping[str, str]
    installed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """A container engine that answers. ``gpus`` says by what it can hand out GPUs (``runtime nvidia``, ``CDI nvidia.com/gpu``), ``None``
    where by nothing. ``images``: each reference that was asked for, and what it is here; ``None`` where it is not here.
    """

    path: str
    version: str
    api: str
    gpus: str | None
    images: Mapping[str, str | None]
    root: str
    root_free_bytes: int | Absent


@dataclass(frozen=True, slots=True, kw_only=True)
class NoEngine:
    """No engine can be used: ``reason`` in words, with what to do."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuMode:
    """Settings of one GPU. ``persistence`` and ``ecc``: on or off. The application clock as it is set, and its default, in Hz."""

    persistence: bool | Absent
    ecc: bool | Absent
    sm_clock_set_hz: float | Absent
    sm_clock_usual_hz: float | Absent


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuFacts:
    """``gpus`` as the driver lists them, ``readings`` and ``modes`` by UUID. ``genuine`` is false where no kernel driver stands behind the
    library. ``names``: process id to program, of processes that this machine knows.
    """

    gpus: tuple[Gpu, ...] | Absent
    readings: Mapping[str, GpuReading] = field(default_factory=dict)
    modes: Mapping[str, GpuMode] = field(default_factory=dict)
    genuine: bool = True
    why: str = ""
    names: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """Where weights would be (``place``), and what is lacking of them there; ``lacks`` is empty where they are complete."""

    place: str
    bytes: int
    lacks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """Free space where a path is or would be made. ``writable`` is whether this user can write there."""

    path: str
    free_bytes: int | Absent
    writable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """``ports_free`` counts up to ``ports_asked``, in the range that services get theirs from. ``clock_step_s``: how far the wall clock and
    the monotonic clock moved apart while facts were gathered. ``open_files``: soft limit, hard limit, and how many are open.
    """

    ports_asked: int
    ports_free: int
    disks: Mapping[str, Disk]
    clock_step_s: float
    clock_source: str | Absent
    cpu_count: int
    load_1m: float | Absent
    governors: tuple[str, ...] | Absent
    memory_available_bytes: int
    memory_total_bytes: int
    open_files: tuple[int, int, int]
    git: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What sessions have left or use. ``processes``: process id to session; ``containers`` and ``networks``: name to session; ``alive`` are
    the sessions that run now. ``holders``: lock file to who holds it. ``directories`` are temporary ones of sessions that are gone.
    """

    processes: Mapping[int, str] = field(default_factory=dict)
    containers: Mapping[str, str] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)
    directories: tuple[str, ...] = ()
    alive: frozenset[str] = frozenset()
    holders: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything. ``models``: name of a model to what is here of it; ``secrets`` are names of variables with a secret that are set."""

    software: Software
    engine: EngineFacts | NoEngine
    gpu: GpuFacts
    models: Mapping[str, ModelFacts]
    secrets: frozenset[str]
    host: Host
    left: Left
