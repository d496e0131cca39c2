"""What is deployed, as a value."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, is_dataclass

MODES = ("agg", "disagg")
ENGINES = ("mocker", "vllm", "sglang", "trtllm", "unknown")
"""``unknown`` stands for what an attached endpoint does not tell."""

SERVED_BY = ("dynamo", "engine")
ROUTER_MODES = ("round-robin", "random", "kv", "power-of-two", "least-loaded", "device-aware-weighted", "direct")
PLANES = ("nats", "default")
EXCLUSIVE = ("host", "gpu")
CONNECTORS = ("none", "lmcache", "lmcache-mp", "kvbm", "nixl")
SPECULATION_METHODS = ("none", "ngram", "draft_model", "eagle3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """Workers of one role. ``args`` are appended to the engine's command line as they are; the last flag wins.

    ``gpus`` are those of one worker; 0 runs the engine on the CPU, where it can. What is ``None`` of the parallelisms is the engine's own
    choice; where one is set, those that are not count as 1 and the product must be ``gpus``.
    """

    count: int = 1
    gpus: int = 0
    args: tuple[str, ...] = ()
    tensor_parallel: int | None = None
    pipeline_parallel: int | None = None
    data_parallel: int | None = None
    expert_parallel: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """How the frontend routes beyond its mode; what is ``None`` is Dynamo's own default, which differs between versions.

    ``kv_events`` false: the router predicts what workers hold from its own decisions (approximate), each kept for ``ttl_s`` seconds.
    ``overlap_weight`` weighs the prefill that a worker would have to do against the blocks that it decodes. ``temperature`` 0 takes the
    cheapest worker. ``active_decode_blocks_threshold`` (share of the KV blocks) and ``active_prefill_tokens_threshold`` (tokens): a worker
    beyond one of them is busy, and when all are, requests are refused.
    """

    kv_events: bool | None = None
    ttl_s: float | None = None
    overlap_weight: float | None = None
    temperature: float | None = None
    active_decode_blocks_threshold: float | None = None
    active_prefill_tokens_threshold: int | None = None
    replica_sync: bool = False
    reset_states: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KvCache:
    """Where the KV cache goes beyond the device: ``connector`` ``lmcache`` runs inside the engine, ``lmcache-mp`` beside it; ``nixl`` only
    hands from prefill to decode. Sizes are those of one worker, of ``lmcache-mp`` those of its one server, in units that the tool calls GB.
    ``prefix_caching`` ``None`` is the engine's default, which is on.
    """

    connector: str = "none"
    host_gib: int | None = None
    disk_gib: int | None = None
    disk_path: str | None = None
    object_store_url: str | None = None
    chunk_tokens: int | None = None
    prefix_caching: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Speculation:
    """``tokens`` are drafted per step. ``model`` is the draft, a directory or a name. ``lookup_min``, ``lookup_max`` bound the n-gram."""

    method: str = "none"
    model: str | None = None
    tokens: int | None = None
    lookup_min: int | None = None
    lookup_max: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """What runs beside the engine, where it runs in containers: those of Dynamo's own composition. Pin them by digest for a baseline."""

    etcd: str = "quay.io/coreos/etcd:v3.6.1"
    nats: str = "nats:2.11.4"
    proxy: str = "nginx:1.28"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A serving topology.

    ``mode`` is ``agg`` (``worker`` serves) or ``disagg`` (``prefill`` and ``decode`` serve); ``encode`` stands beside either.
    ``served_by`` ``engine`` runs the engine's own server, as control of what Dynamo adds. ``dynamo_version`` chooses the flags; ``None``
    takes the version that is found. Before more than one of ``frontends`` there is nginx. ``planes``: ``nats`` sends requests and events
    over NATS, ``default`` leaves the choice to Dynamo. ``image`` and ``images`` are used by container launchers alone. ``exclusive``: a
    measurement has the whole ``host`` for itself, or only its ``gpu``s, with others beside it.
    """

    engine: str
    model: str
    mode: str = "agg"
    worker: Role = Role(count=1)
    prefill: Role = Role(count=1)
    decode: Role = Role(count=1)
    encode: Role = Role(count=0)
    served_by: str = "dynamo"
    dynamo_version: str | None = None
    frontends: int = 1
    router_mode: str = "round-robin"
    router_args: tuple[str, ...] = ()
    router: Router = Router()
    migration_limit: int | None = None
    kv_cache: KvCache = KvCache()
    speculation: Speculation = Speculation()
    planes: str = "default"
    block_size: int | None = None
    image: str | None = None
    images: Images = Images()
    exclusive: str = "host"

    @property
    def roles(self) -> dict[str, Role]:
        """The roles that this mode runs, by name."""
        serving = {"worker": self.worker} if self.mode == "agg" else {"prefill": self.prefill, "decode": self.decode}
        return {"encode": self.encode, **serving} if self.encode.count else serving

    @property
    def gpu_count(self) -> int:
        """GPUs that all workers use together."""
        return sum(role.count * role.gpus for role in self.roles.values())

    @property
    def worker_count(self) -> int:
        """Workers of all roles."""
        return sum(role.count for role in self.roles.values())

    @property
    def deployment_key(self) -> str:
        """Twelve hexadecimal digits: equal exactly when a running deployment can be reused."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]

    @property
    def shape(self) -> str:
        """The part that binds comparability, in words: ``agg 2x worker, router round-robin, planes nats``, and then whatever else is asked
        that differs from its default, in the words of its key: ``kv_cache.connector lmcache``. Free arguments, the block size, the image
        and the version are left out: they are what may be under test.
        """
        workers = " + ".join(f"{role.count}x {name}" + (f" on {role.gpus} GPU" if role.gpus else "") for name, role in self.roles.items())
        known = f"{self.mode} {workers}, router {self.router_mode}, planes {self.planes}"
        return ", ".join((known, *(f"{name} {value}" for name, value in self.asked.items())))

    @property
    def asked(self) -> dict[str, str]:
        """What differs from its default of the keys that bind comparability and stand nowhere else in :attr:`shape`: the key within
        ``topology`` to its value as TOML spells it. Roles that this mode does not run are left out.
        """
        named = ("mode", "router_mode", "planes", *_ROLES)
        found: dict[str, str] = {}
        for item in fields(self):
            if item.name in (*_IDENTITY, *named):
                continue
            found |= _differences(item.name, getattr(self, item.name), item.default)
        for name, role in self.roles.items():
            # Of a role everything but count, GPUs and free arguments, which stand elsewhere.
            found |= _differences(name, role, Role(count=role.count, gpus=role.gpus, args=role.args))
        return found

    def asked_of(self, group: str) -> tuple[str, ...]:
        """Keys of ``router``, ``kv_cache`` or ``speculation`` that differ from their default: ``router.kv_events``."""
        return tuple(name for name in self.asked if name.startswith(f"{group}."))


_ROLES = ("worker", "prefill", "decode", "encode")
_IDENTITY = ("engine", "model", "dynamo_version", "router_args", "block_size", "image", "images")
"""Keys that bind on their own (engine, model), or not at all."""


def _differences(name: str, value: object, default: object) -> dict[str, str]:
    if is_dataclass(value) and not isinstance(value, type):
        found: dict[str, str] = {}
        for item in fields(value):
            found |= _differences(f"{name}.{item.name}", getattr(value, item.name), getattr(default, item.name))
        return found
    if value == default:
        return {}
    return {name: str(value).lower() if isinstance(value, bool) else str(value)}
