"""The bytes of one completion request, chat or text, head and body, ready for a socket. Pure but for the key, read from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import msgspec

from pytest_dynperf.errors import EndpointError, UsageError

if TYPE_CHECKING:
    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.scenario.traffic import Traffic
    from pytest_dynperf.workload.request import Request

_PATHS = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}
_OWN_HEADERS = frozenset(
    {
        "host", "content-length", "content-type", "accept-encoding", "connection", "transfer-encoding", "x-request-id", "x-session-id",
    }
)  # fmt: skip
_OWN_FIELDS = frozenset({"model", "messages", "prompt", "stream", "stream_options", "max_tokens", "min_tokens", "ignore_eos"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where connections go; keys are sent nowhere else."""

    tls: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The Host header: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def origin_of(endpoint: Endpoint) -> Origin:
    """:raises EndpointError: when the base URL is no http or https URL, or carries a user or a query.
    :raises UsageError: when nobody knows the endpoint's ``api``.
    """
    if endpoint.api not in _PATHS:
        msg = f"the endpoint's api is {endpoint.api!r}, known are: {', '.join(_PATHS)}"
        raise UsageError(msg)
    url = endpoint.url(_PATHS[endpoint.api])
    try:
        parts = urlsplit(endpoint.base_url)
        port = parts.port
    except ValueError as error:
        msg = f"{endpoint.base_url!r} is not a URL: {error}"
        raise EndpointError(msg) from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None or parts.query or parts.fragment:
        msg = f"{endpoint.base_url!r} cannot be asked: give scheme, host and port, such as http://127.0.0.1:8000, without user or query"
        raise EndpointError(msg)
    path = urlsplit(url).path
    if not path.isascii() or any(character.isspace() or not character.isprintable() for character in path):
        msg = f"the path of {endpoint.base_url!r} must be percent-encoded"
        raise EndpointError(msg)
    tls = parts.scheme == "https"
    return Origin(tls=tls, host=parts.hostname, port=port or (443 if tls else 80), path=path)


def request_head(endpoint: Endpoint, origin: Origin) -> bytes:
    """All of the head that is the same for every request: everything but X-Request-ID, X-Session-ID and Content-Length.

    :raises UsageError: when the variable that holds the key is not set, or a header is one that we set ourselves or breaks its line.
    """
    headers = [
        ("Host", origin.authority),
        ("Accept", "text/event-stream"),
        ("Accept-Encoding", "identity"),
        ("Content-Type", "application/json"),
    ]
    for name, value in endpoint.headers:
        if name.lower() in _OWN_HEADERS:
            msg = f"the header {name!r} of the endpoint is set by the load generator itself; remove it"
            raise UsageError(msg)
        headers.append((name, value))
    if endpoint.api_key_variable is not None:
        key = os.environ.get(endpoint.api_key_variable, "").strip()
        if not key:
            msg = f"the environment variable {endpoint.api_key_variable} should hold the key of {origin.authority}, and is not set"
            raise UsageError(msg)
        headers.append(("Authorization", f"Bearer {key}"))
    for name, value in headers:
        if any(ord(character) < 32 or ord(character) > 126 for character in name + value) or ":" in name:
            msg = f"the header {name!r} has characters that HTTP does not allow"  # never the value: it may be the key
            raise UsageError(msg)
    lines = [f"POST {origin.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join(lines).encode("ascii")


def request_body(endpoint: Endpoint, request: Request, traffic: Traffic) -> bytes:
    """JSON. ``ignore_eos`` stands at the top level: Dynamo answers 400 where it stands in ``nvext``. Images stand before the text.

    :raises UsageError: when the endpoint's ``extra_body`` sets what the traffic decides, or text completions are asked what only a chat
        can hold: earlier turns, images.
    """
    body: dict[str, object] = {
        "model": endpoint.model,
        **(_prompt(request) if endpoint.api == "completions" else {"messages": _messages(request)}),
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": request.osl,
    }
    if traffic.ignore_eos:
        body |= {"min_tokens": request.osl, "ignore_eos": True}
    if traffic.temperature is not None:
        body["temperature"] = traffic.temperature
    if request.stop:
        body["stop"] = request.stop
    extra = dict(endpoint.extra_body)
    decided = _OWN_FIELDS | ({"temperature", "stop"} & body.keys())
    if taken := sorted(decided & extra.keys()):
        msg = f"the endpoint's extra body must not set {', '.join(taken)}: the traffic decides that"
        raise UsageError(msg)
    return msgspec.json.encode(body | extra)


def request_message(head: bytes, body: bytes, *, request_id: str, conversation: str | None) -> bytes:
    """Head and body. X-Session-ID carries the name of the conversation, percent-encoded, for routers that keep a session on one worker."""
    session = b"" if conversation is None else b"\r\nX-Session-ID: %b" % quote(conversation).encode()
    return b"%b\r\nX-Request-ID: %b%b\r\nContent-Length: %d\r\n\r\n%b" % (head, request_id.encode(), session, len(body), body)


def _messages(request: Request) -> list[dict[str, object]]:
    messages: list[dict[str, object]] = []
    for said, answered in request.history:
        messages += [{"role": "user", "content": said}, {"role": "assistant", "content": answered}]
    content: object = request.content
    if request.images:
        pictures: list[dict[str, object]] = [{"type": "image_url", "image_url": {"url": url}} for url in request.images]
        content = [*pictures, {"type": "text", "text": request.content}]
    return [*messages, {"role": "user", "content": content}]


def _prompt(request: Request) -> dict[str, object]:
    if request.history or request.images:
        what = "images" if request.images else "earlier turns"
        msg = f"request {request.index} has {what}, and text completions have no place for them: use the chat API"
        raise UsageError(msg)
    return {"prompt": request.content}
