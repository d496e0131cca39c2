"""All that load generation knows of a deployment."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from pytest_dynperf.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where requests go.

    ``base_url`` is scheme, host, port and, where the server has one, a path prefix: ``http://127.0.0.1:8000`` or
    ``https://gateway.example/team-a``; ``/v1/...`` is appended to it. ``api_key_variable`` names the environment variable that holds the
    key: the key itself is never part of a value, so it cannot reach a file. ``headers`` are sent with every request.
    ``extra_body`` is merged into each request body as JSON (for example Dynamo's ``nvext``). ``api`` is ``chat``, or ``completions``
    for the text completions, which have no chat template. ``ca_file`` holds the authorities that a https server's certificate is
    checked against, in place of the platform's. ``metrics_urls``: name of a service, and where it serves Prometheus metrics.
    """

    base_url: str
    model: str
    api_key_variable: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    extra_body: tuple[tuple[str, object], ...] = ()
    api: str = "chat"
    ca_file: str | None = None
    metrics_urls: tuple[tuple[str, str], ...] = ()
    gpu_count: int | None = None
    """GPUs behind the endpoint; ``None`` when unknown, and then nothing is divided by it."""

    def url(self, path: str) -> str:
        """``url("/v1/models")`` below the base URL."""
        return self.base_url.rstrip("/") + path


def shown(url: str) -> str:
    """``url`` as it may be printed: without user name and password."""
    return re.sub(r"//[^/?#]*@", "//", url)


def base_url_of(url: str) -> str:
    """The base URL in what a person typed: paths of the API, which are appended anyway, are taken off its end.

    :raises UsageError: for anything but http or https with a host, and for a user, a query or a fragment.
    """
    try:
        parts = urlsplit(url)
        complete = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        complete = False
    if not complete:
        msg = f"{shown(url)!r} is not a URL of a server: it must be of the form http://HOST[:PORT][/PREFIX] or https://…"
        raise UsageError(msg)
    if parts.username is not None or parts.query or parts.fragment:
        msg = f"{shown(url)!r}: a URL with a user, a query or a fragment is not asked; a key belongs into an environment variable"
        raise UsageError(msg)
    return re.sub(r"/v1(/(chat/)?completions|/models)?$", "", url.rstrip("/"))
