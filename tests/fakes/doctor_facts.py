"""Facts of a machine on which everything is as it should be; tests replace what they plant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_dynperf.accelerator.device import Gpu
from pytest_dynperf.accelerator.in_memory import IDLE
from pytest_dynperf.scenario.search import find_platform
from pytest_dynperf.session.doctor_facts import Disk, EngineFacts, Facts, GpuFacts, GpuMode, Host, Left, ModelFacts, Software
from pytest_dynperf.session.doctor_need import find_suites, need_of

ROOT = Path(__file__).parents[2]
GIB = 1 << 30
SUITES = find_suites(["concurrency_sweep"], ROOT)
H200 = need_of(find_platform("h200", near=ROOT / "suites"), SUITES)
MOCKER = need_of(find_platform("mocker", near=ROOT / "suites"), SUITES)
CPU = need_of(find_platform("cpu", near=ROOT / "suites"), SUITES)
ATTACHED = need_of(find_platform("attached", near=ROOT / "suites"), SUITES)
IMAGE = H200.images[0]
MODEL = H200.models[0]

GPUS = tuple(Gpu(index=index, uuid=f"GPU-{index}", name="NVIDIA H200", memory_gib=140.4, driver_version="580.95.05") for index in range(4))
MODE = GpuMode(persistence=True, ecc=True, sm_clock_set_hz=1.98e9, sm_clock_usual_hz=1.98e9)
GPU = GpuFacts(
    gpus=GPUS,
    readings={gpu.uuid: replace(IDLE, uuid=gpu.uuid) for gpu in GPUS},
    modes={gpu.uuid: MODE for gpu in GPUS},
    why="library and kernel driver are 580.95.05",
)
ENGINE = EngineFacts(
    path="/var/run/docker.sock",
    version="docker 28.5.1",
    api="1.51",
    gpus="runtime nvidia",
    images=dict.fromkeys(H200.images, "sha256:0123456789ab, 18.2 GiB"),
    root="/var/lib/docker",
    root_free_bytes=500 * GIB,
)
HOST = Host(
    ports_asked=200,
    ports_free=200,
    disks={
        name: Disk(path=f"/{name.partition(' ')[0]}", free_bytes=500 * GIB, writable=True)
        for name in ("run directory", "cache", "temporary directory")
    },
    clock_step_s=0.00001,
    clock_source="tsc",
    cpu_count=64,
    load_1m=0.4,
    governors=("performance",),
    memory_available_bytes=900 * GIB,
    memory_total_bytes=1000 * GIB,
    open_files=(65536, 1 << 20, 20),
    git={"git.commit": "0123456789abcdef0123", "git.dirty": "no"},
)
HEALTHY = Facts(
    software=Software(
        installed="vLLM 0.31.0 (/cache/engines/cpu/bin/python)",
        python=(3, 11, 9),
        executable="/venv/bin/python",
        packages={"ai-dynamo": "1.4.2", "docker": "7.2.0"},
        programs={"etcd": "3.5.1 (/venv/bin/etcd)", "nats-server": "2.15.1 (/venv/bin/nats-server)"},
    ),
    engine=ENGINE,
    gpu=GPU,
    models={MODEL: ModelFacts(place="/hub/models--x/snapshots/1", bytes=70 * GIB, lacks=())},
    secrets=frozenset({"HF_TOKEN"}),
    host=HOST,
    left=Left(),
)


def facts(**changed: Any) -> Facts:
    """The healthy machine with other parts; those of ``software`` and ``host`` may be named by themselves."""
    software = {name: changed.pop(name) for name in ("python", "packages", "programs", "installed") if name in changed}
    host = {name: changed.pop(name) for name in tuple(changed) if name in Host.__dataclass_fields__}
    return replace(HEALTHY, software=replace(HEALTHY.software, **software), host=replace(HOST, **host), **changed)


def gpu(**changed: Any) -> GpuFacts:
    """GPU facts in which the first GPU is as ``mode``, ``reading`` or ``gpu`` (fields to replace) say."""
    first = GPUS[0]
    return replace(
        GPU,
        gpus=(replace(first, **changed.get("gpu", {})), *GPUS[1:]),
        readings={**GPU.readings, first.uuid: replace(GPU.readings[first.uuid], **changed.get("reading", {}))},
        modes={**GPU.modes, first.uuid: replace(MODE, **changed.get("mode", {}))},
    )
