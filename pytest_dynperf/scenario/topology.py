"""What is deployed, as a value."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

MODES = ("agg", "disagg")
ENGINES = ("mocker", "vllm", "sglang", "trtllm", "unknown")
"""``unknown`` stands for what an attached endpoint does not tell."""

ROUTER_MODES = ("round-robin", "random", "kv", "power-of-two", "least-loaded")
PLANES = ("nats", "default")


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """Workers of one role. ``args`` are appended to the engine's command line as they are; the last flag wins."""

    count: int = 1
    gpus: int = 0
    args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A serving topology.

    ``mode`` is ``agg`` (``worker`` serves) or ``disagg`` (``prefill`` and ``decode`` serve). ``planes``: ``nats`` sends requests and events
    over NATS, ``default`` leaves the choice to Dynamo. ``image`` is used by container launchers alone.
    """

    engine: str
    model: str
    mode: str = "agg"
    worker: Role = Role(count=1)
    prefill: Role = Role(count=1)
    decode: Role = Role(count=1)
    router_mode: str = "round-robin"
    router_args: tuple[str, ...] = ()
    planes: str = "default"
    block_size: int | None = None
    image: str | None = None

    @property
    def roles(self) -> dict[str, Role]:
        """The roles that this mode runs, by name."""
        return {"worker": self.worker} if self.mode == "agg" else {"prefill": self.prefill, "decode": self.decode}

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
        """The part that binds comparability, in words: ``agg 2x mocker, router round-robin, planes nats``. Free arguments are left out:
        they are what may be under test.
        """
        workers = " + ".join(f"{role.count}x {name}" + (f" on {role.gpus} GPU" if role.gpus else "") for name, role in self.roles.items())
        return f"{self.mode} {workers}, router {self.router_mode}, planes {self.planes}"
