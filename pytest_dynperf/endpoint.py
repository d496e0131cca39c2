"""All that load generation knows of a deployment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where requests go.

    ``base_url`` is scheme, host, port and, where the server has one, a path prefix: ``http://127.0.0.1:8000`` or
    ``https://gateway.example/team-a``; ``/v1/...`` is appended to it. ``api_key_variable`` names the environment variable that holds the
    key: the key itself is never part of a value, so it cannot reach a file. ``headers`` are sent with every request.
    ``extra_body`` is merged into each request body as JSON (for example Dynamo's ``nvext``).
    """

    base_url: str
    model: str
    api_key_variable: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    extra_body: tuple[tuple[str, object], ...] = ()
    gpu_count: int | None = None
    """GPUs behind the endpoint; ``None`` when unknown, and then nothing is divided by it."""

    def url(self, path: str) -> str:
        """``url("/v1/models")`` below the base URL."""
        return self.base_url.rstrip("/") + path
