"""Topologies whose services are kept as text, and how they are written down.

A change of a command line shows as a change of a file here, which is read like code. ``python -m tests.golden`` writes them anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.dynamo import port_map, ports_needed, services
from pytest_dynperf.deployment.service import Mount, Place
from pytest_dynperf.deployment.versions import choose
from pytest_dynperf.scenario.search import find_platforms
from pytest_dynperf.scenario.sweep import expand
from pytest_dynperf.scenario.toml_file import load_scenario
from pytest_dynperf.scenario.topology import KvCache, Role, Router, Speculation, Topology

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_dynperf.deployment.service import ServiceSpec

HERE = Path(__file__).parent
SUITES = HERE.parents[1] / "suites"

PROCESS = Place(
    python="/env/bin/python",
    etcd="/env/bin/etcd",
    nats="/env/bin/nats-server",
    nginx="/usr/sbin/nginx",
    lmcache="/lmcache/bin/lmcache",
    model="/model",
    directory="/run/state",
    environment={"PATH": "/bin"},
)
CONTAINER = Place(
    python="python3",
    etcd="etcd",
    nats="nats-server",
    nginx="nginx",
    model="/model",
    directory="/state",
    bind="0.0.0.0",
    by_name=True,
    environment={"PATH": "/usr/bin:/bin"},
    images={"etcd": "etcd:local", "nats": "nats:local", "proxy": "nginx:local"},
    mounts=(Mount(source="/models/m", target="/model"),),
)
VERSIONS = ("0.9.1", "1.0.2", "1.1.1", "1.2.1", "1.3.1", "1.4.2", "1.5.1", "1.6.1")
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
EAGLE = Speculation(method="eagle3", model="yuhuili/EAGLE3-LLaMA3.1-Instruct-8B", tokens=3)
NIXL = KvCache(connector="nixl")


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenCase:
    """A topology in a place; ``version`` is what a probe found there."""

    topology: Topology
    place: Place = PROCESS
    version: str = "1.6.1"

    @property
    def specs(self) -> tuple[ServiceSpec, ...]:
        """Its services, with ports from 20001 upwards and GPUs GPU-0, GPU-1, …."""
        ports = port_map(range(20001, 20001 + ports_needed(self.topology)))
        gpus = [f"GPU-{index}" for index in range(self.topology.gpu_count)]
        return services(self.topology, place=replace(self.place, dynamo_version=self.version), ports=ports, gpus=gpus)


def cases() -> Mapping[str, GoldenCase]:
    """Name of the file to its case."""
    found = {**_mocker(), **_vllm(), **_vllm_tiers(), **_sglang(), **_trtllm()}
    for version in VERSIONS:
        found |= {f"{version}-{name}": case for name, case in _of_version(version).items()}
    return found | _platforms()


def _mocker() -> dict[str, GoldenCase]:
    agg = Topology(engine="mocker", model="sim-8b", worker=Role(count=2), planes="nats", router_mode="kv", block_size=64)
    approximate = Router(kv_events=False, ttl_s=60.0, overlap_weight=2.0, temperature=0.5, replica_sync=True)
    busy = Router(active_decode_blocks_threshold=0.9, active_prefill_tokens_threshold=10000)
    return {
        "mocker-agg": GoldenCase(topology=Topology(engine="mocker", model="sim-8b"), version="1.4.2"),
        "mocker-agg-kv": GoldenCase(topology=agg, version="1.4.2"),
        "mocker-agg-kv-container": GoldenCase(topology=replace(agg, image="dynamo:local"), place=CONTAINER, version="1.4.2"),
        "mocker-disagg": GoldenCase(
            topology=Topology(engine="mocker", model="sim-8b", mode="disagg", prefill=Role(count=2)), version="1.4.2"
        ),
        "mocker-frontends-approximate": GoldenCase(topology=replace(agg, frontends=3, router=approximate), version="1.4.2"),
        "mocker-busy-migration": GoldenCase(
            topology=replace(agg, router_mode="round-robin", router=busy, migration_limit=3), version="1.4.2"
        ),
        "mocker-no-prefix-caching": GoldenCase(topology=replace(agg, kv_cache=KvCache(prefix_caching=False)), version="1.4.2"),
    }


def _vllm() -> dict[str, GoldenCase]:
    agg = Topology(engine="vllm", model=LLAMA, worker=Role(count=2, gpus=2, tensor_parallel=2), router_mode="kv", planes="nats")
    cpu = Topology(engine="vllm", model="tiny", worker=Role(count=1))
    split = Topology(engine="vllm", model=LLAMA, mode="disagg", prefill=Role(count=2, gpus=1), decode=Role(gpus=2, tensor_parallel=2))
    experts = Role(gpus=8, tensor_parallel=2, data_parallel=4, expert_parallel=8)
    own = Topology(engine="vllm", model=LLAMA, served_by="engine", worker=Role(gpus=2, tensor_parallel=2))
    return {
        "vllm-agg-kv": GoldenCase(topology=agg),
        "vllm-agg-kv-container": GoldenCase(topology=replace(agg, image="vllm-runtime:1.6.1"), place=CONTAINER),
        "vllm-cpu": GoldenCase(topology=cpu),
        "vllm-cpu-ngram": GoldenCase(
            topology=replace(cpu, speculation=Speculation(method="ngram", tokens=4, lookup_min=1, lookup_max=3), block_size=128)
        ),
        "vllm-cpu-disagg": GoldenCase(topology=Topology(engine="vllm", model="tiny", mode="disagg", kv_cache=NIXL)),
        "vllm-cpu-kv": GoldenCase(topology=replace(cpu, worker=Role(count=2), router_mode="kv")),
        "vllm-cpu-draft": GoldenCase(
            topology=replace(cpu, speculation=Speculation(method="draft_model", model="dynperf/draft", tokens=3)),
            place=replace(PROCESS, draft="/draft"),
        ),
        "vllm-disagg": GoldenCase(topology=replace(split, kv_cache=NIXL, router_mode="kv")),
        "vllm-disagg-container": GoldenCase(topology=replace(split, kv_cache=NIXL, image="vllm-runtime:1.6.1"), place=CONTAINER),
        "vllm-experts": GoldenCase(topology=replace(agg, worker=experts)),
        "vllm-eagle3": GoldenCase(topology=replace(agg, worker=Role(gpus=1), speculation=EAGLE)),
        "vllm-draft": GoldenCase(
            topology=replace(agg, worker=Role(gpus=1), speculation=Speculation(method="draft_model", model="/draft", tokens=3))
        ),
        "vllm-encode": GoldenCase(topology=replace(agg, worker=Role(gpus=1), encode=Role(count=1, gpus=1))),
        "vllm-own-server": GoldenCase(topology=replace(own, kv_cache=KvCache(prefix_caching=False))),
        "vllm-own-servers": GoldenCase(topology=replace(own, worker=Role(count=2, gpus=1, args=("--max-num-seqs", "64")))),
        "vllm-own-server-container": GoldenCase(topology=replace(own, image="vllm-runtime:1.6.1"), place=CONTAINER),
    }


def _vllm_tiers() -> dict[str, GoldenCase]:
    one = Topology(engine="vllm", model=LLAMA, worker=Role(gpus=1))
    cpu = Topology(engine="vllm", model="tiny")
    split = Topology(engine="vllm", model=LLAMA, mode="disagg", prefill=Role(gpus=1), decode=Role(gpus=1))
    lmcache = KvCache(connector="lmcache", host_gib=20, disk_gib=100, chunk_tokens=256, object_store_url="s3://bucket")
    beside = KvCache(connector="lmcache-mp", host_gib=1, chunk_tokens=128)
    kvbm = KvCache(connector="kvbm", host_gib=20, disk_gib=200, disk_path="/nvme/kvbm", object_store_url="http://minio:9000/blocks")
    return {
        "vllm-lmcache": GoldenCase(topology=replace(one, kv_cache=lmcache)),
        "vllm-lmcache-mp": GoldenCase(topology=replace(cpu, worker=Role(count=2), kv_cache=replace(beside, disk_gib=2))),
        "vllm-lmcache-mp-container": GoldenCase(topology=replace(one, kv_cache=beside, image="vllm-runtime:1.6.1"), place=CONTAINER),
        "vllm-kvbm": GoldenCase(topology=replace(one, worker=Role(count=2, gpus=1), kv_cache=kvbm)),
        "vllm-kvbm-disk-only": GoldenCase(topology=replace(one, kv_cache=KvCache(connector="kvbm", disk_gib=8))),
        "vllm-kvbm-disagg": GoldenCase(topology=replace(split, kv_cache=KvCache(connector="kvbm", host_gib=20))),
        "vllm-lmcache-disagg": GoldenCase(topology=replace(split, kv_cache=KvCache(connector="lmcache", host_gib=20))),
        "vllm-kvbm-own-server": GoldenCase(topology=replace(one, served_by="engine", kv_cache=KvCache(connector="kvbm", host_gib=4))),
    }


def _sglang() -> dict[str, GoldenCase]:
    agg = Topology(engine="sglang", model=LLAMA, worker=Role(count=2, gpus=2, tensor_parallel=2), router_mode="kv", block_size=64)
    split = Topology(engine="sglang", model=LLAMA, mode="disagg", prefill=Role(gpus=1), decode=Role(gpus=1), kv_cache=NIXL)
    one = replace(agg, worker=Role(gpus=1))
    return {
        "sglang-agg-kv": GoldenCase(topology=agg),
        "sglang-disagg": GoldenCase(topology=split),
        "sglang-lmcache": GoldenCase(
            topology=replace(one, kv_cache=KvCache(connector="lmcache", host_gib=8), planes="nats"), version="1.0.2"
        ),
        "sglang-lmcache-mp": GoldenCase(topology=replace(one, kv_cache=KvCache(connector="lmcache-mp", host_gib=8))),
        "sglang-eagle3": GoldenCase(topology=replace(one, speculation=EAGLE)),
        "sglang-draft": GoldenCase(topology=replace(one, speculation=replace(EAGLE, method="draft_model"))),
        "sglang-ngram": GoldenCase(topology=replace(one, speculation=Speculation(method="ngram", tokens=4))),
        "sglang-encode": GoldenCase(topology=replace(one, encode=Role(count=1, gpus=1))),
        "sglang-own-server": GoldenCase(
            topology=replace(
                one,
                router_mode="round-robin",
                served_by="engine",
                worker=Role(gpus=4, tensor_parallel=2, data_parallel=2, expert_parallel=2),
                kv_cache=KvCache(prefix_caching=False),
            )
        ),
    }


def _trtllm() -> dict[str, GoldenCase]:
    agg = Topology(engine="trtllm", model=LLAMA, worker=Role(count=2, gpus=2, tensor_parallel=2), router_mode="kv", block_size=32)
    split = Topology(engine="trtllm", model=LLAMA, mode="disagg", prefill=Role(gpus=1), decode=Role(gpus=1), kv_cache=NIXL)
    one = replace(agg, worker=Role(gpus=1))
    kvbm = KvCache(connector="kvbm", host_gib=20)
    ngram = Speculation(method="ngram", tokens=4, lookup_max=3)
    return {
        "trtllm-agg-kv": GoldenCase(topology=agg),
        "trtllm-disagg": GoldenCase(topology=split),
        "trtllm-kvbm": GoldenCase(topology=replace(one, kv_cache=kvbm)),
        "trtllm-eagle3": GoldenCase(topology=replace(one, speculation=EAGLE)),
        "trtllm-attention-dp": GoldenCase(
            topology=replace(one, worker=Role(gpus=4, tensor_parallel=4, data_parallel=4, expert_parallel=4))
        ),
        "trtllm-encode": GoldenCase(topology=replace(one, encode=Role(count=1, gpus=1))),
        "trtllm-own-server": GoldenCase(
            topology=replace(one, router_mode="round-robin", served_by="engine", worker=agg.worker, speculation=ngram)
        ),
        "trtllm-kvbm-own-server": GoldenCase(topology=replace(one, router_mode="round-robin", served_by="engine", kv_cache=kvbm)),
    }


def _of_version(version: str) -> dict[str, GoldenCase]:
    """What is spelled differently from version to version."""
    router = Router(kv_events=True, overlap_weight=2.0, temperature=0.1)
    guess = Router(kv_events=False, ttl_s=120.0, reset_states=bool(choose(_ANY, found=version).dialect.reset_states))
    mocker = Topology(engine="mocker", model="sim-8b", router_mode="kv", router=router, planes="nats")
    split = Topology(engine="vllm", model=LLAMA, mode="disagg", prefill=Role(gpus=1), decode=Role(gpus=1), planes="nats", migration_limit=2)
    agg = Topology(engine="vllm", model=LLAMA, worker=Role(gpus=1), planes="nats", router_mode="kv", router=guess)
    kvbm, lmcache = KvCache(connector="kvbm", host_gib=20), KvCache(connector="lmcache", host_gib=20)
    found = {
        "mocker-kv": mocker,
        "mocker-disagg": Topology(engine="mocker", model="sim-8b", mode="disagg", planes="nats"),
        "vllm-kv": replace(agg, router=router),
        "vllm-lmcache-approximate": replace(agg, kv_cache=lmcache),
        "vllm-disagg": replace(split, kv_cache=NIXL),
        "vllm-disagg-kvbm": replace(split, kv_cache=kvbm),
        "sglang-kv": replace(agg, engine="sglang", router=router),
        "sglang-disagg": replace(split, engine="sglang", kv_cache=NIXL),
        "trtllm-kv": replace(agg, engine="trtllm", router=router, kv_cache=kvbm),
        "trtllm-disagg": replace(split, engine="trtllm", kv_cache=NIXL),
    }
    return {name: GoldenCase(topology=topology, version=version) for name, topology in found.items()}


_ANY = Topology(engine="mocker", model="any")


def _platforms() -> dict[str, GoldenCase]:
    scenario = load_scenario(SUITES / "concurrency_sweep" / "scenario.toml")
    found: dict[str, GoldenCase] = {}
    for platform in find_platforms(near=SUITES):
        if platform.launcher == "attached":
            continue
        place = CONTAINER if platform.launcher == "container" else PROCESS
        version = "" if platform.launcher == "container" else "1.4.2" if platform.simulated else "1.6.1"
        (case, *_) = expand(scenario, platform)
        found[f"platform-{platform.name}"] = GoldenCase(topology=case.topology, place=place, version=version)
        if case.topology.prefill.gpus:
            topology = replace(case.topology, mode="disagg")
            found[f"platform-{platform.name}-disagg"] = GoldenCase(topology=topology, place=place, version=version)
    return found


def text_of(case: GoldenCase) -> str:
    """All services: command line flag by flag, environment, ports, files."""
    return "\n".join(_service_text(spec) for spec in case.specs)


def _service_text(spec: ServiceSpec) -> str:
    notes = [*([f"image {spec.image}"] if spec.image else []), *([f"GPUs {' '.join(spec.gpus)}"] if spec.gpus else [])]
    lines = [", ".join([f"== {spec.name} ({spec.role})", *notes])]
    lines += [f"  {line}" for line in _by_flag(spec.argv)]
    lines += [f"  env {name}={value}" for name, value in sorted(spec.env.items())]
    lines += [f"  port {name} {port}" for name, port in spec.ports.items()]
    lines.append(f"  ready when {spec.ready.port} {spec.ready.path}")
    lines += [f"  directory {path}" for path in spec.directories]
    for path, text in spec.files.items():
        lines += [f"  file {path}", *(f"  | {line}" for line in text.splitlines())]
    return "\n".join(lines) + "\n"


def _by_flag(argv: tuple[str, ...]) -> Iterator[str]:
    line: list[str] = []
    for word in argv:
        if word.startswith("--") and line:
            yield " ".join(line)
            line = []
        line.append(word)
    yield " ".join(line)


def files() -> dict[Path, str]:
    """Every golden file and what it should hold."""
    return {HERE / "command_lines" / f"{name}.txt": text_of(case) for name, case in cases().items()}
