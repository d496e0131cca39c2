"""One HTTP exchange with an endpoint or a service, bounded in time and size, whose every failure is a sentence.

For control, never for measuring. Proxies of the environment are ignored: what is measured is what the URL says.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from pytest_dynperf.endpoint import shown
from pytest_dynperf.errors import EndpointError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.endpoint import Endpoint

MAX_BYTES = 4 << 20
EXCERPT = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A complete answer."""

    status: int
    content_type: str
    body: bytes

    @property
    def excerpt(self) -> str:
        """The first 80 characters of the body, printable, on one line."""
        text = " ".join(self.body[: EXCERPT * 4].decode("utf-8", "replace").split())
        return "".join(c if c.isprintable() else "\ufffd" for c in text)[:EXCERPT]


def authorised_headers(endpoint: Endpoint) -> dict[str, str]:
    """The endpoint's headers and, where it names a variable, the key of that variable.

    :raises EndpointError: when the variable is not set.
    """
    headers = dict(endpoint.headers)
    if endpoint.api_key_variable is not None:
        key = os.environ.get(endpoint.api_key_variable)
        if not key:
            msg = f"the environment variable {endpoint.api_key_variable} (--dynperf-api-key-env) is not set: it must hold the API key"
            raise EndpointError(msg)
        headers["Authorization"] = f"Bearer {key}"
    return headers


def exchange(
    method: str,
    url: str,
    *,
    timeout_s: float,
    headers: Mapping[str, str] | None = None,
    body: Mapping[str, object] | None = None,
    ca_file: str | None = None,
) -> Reply:
    """Send one request on a connection of its own and read the whole answer, whatever its status.

    ``timeout_s`` bounds everything: name resolution and a server that sends a byte now and then included. ``ca_file``: the authorities
    that the server's certificate is checked against, in place of the system's.

    :raises EndpointError: refused, unknown host, TLS, no answer in time, connection lost, not HTTP, more than 4 MiB; each in words.
    """
    printed = shown(url)
    outcome: list[Reply | Exception] = []

    def work() -> None:
        try:
            outcome.append(_read(method, url, timeout_s=timeout_s, headers=headers, body=body, ca_file=ca_file))
        except Exception as error:  # noqa: BLE001 -- carried to the caller's thread and raised there
            outcome.append(error)

    # A thread, because neither getaddrinfo nor a header that trickles in can be bounded from within.
    thread = threading.Thread(target=work, name="dynperf-control", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not outcome:
        raise EndpointError(_timeout_text(printed, timeout_s))
    result = outcome[0]
    if isinstance(result, Reply):
        return result
    if isinstance(result, httpx.HTTPError | httpx.InvalidURL | OSError | ValueError):
        raise EndpointError(_failure_text(printed, result, timeout_s)) from result
    raise result


def _read(
    method: str, url: str, *, timeout_s: float, headers: Mapping[str, str] | None, body: Mapping[str, object] | None, ca_file: str | None
) -> Reply:
    deadline = time.monotonic() + timeout_s
    with (
        httpx.Client(trust_env=False, timeout=timeout_s, verify=_tls(ca_file) if url.startswith("https") else False) as client,
        client.stream(method, url, headers=dict(headers or {}), json=body) as response,
    ):
        content = bytearray()
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > MAX_BYTES:
                msg = f"{shown(url)} sends more than {MAX_BYTES >> 20} MiB for a request that should need a few KiB: is this the API?"
                raise EndpointError(msg)
            if time.monotonic() > deadline:
                raise EndpointError(_timeout_text(shown(url), timeout_s))
        return Reply(status=response.status_code, content_type=response.headers.get("content-type", ""), body=bytes(content))


def _tls(ca_file: str | None) -> ssl.SSLContext:
    """Trusts ``ca_file`` alone, or the system's store and the files that SSL_CERT_FILE and SSL_CERT_DIR name."""
    return ssl.create_default_context(cafile=ca_file)


def _timeout_text(url: str, timeout_s: float) -> str:
    return (
        f"{url} did not answer completely within {timeout_s:g} s: is the server overloaded, still loading its model, or behind a firewall?"
    )


def _failure_text(url: str, error: Exception, timeout_s: float) -> str:
    causes = list(_causes(error))
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return f"{url!r} is not a URL of a server: it must start with http:// or https:// and name a host ({error})"
    if isinstance(error, httpx.TimeoutException):
        return _timeout_text(url, timeout_s)
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return (
                f"{url}: TLS failed: {cause.reason or cause}. Is it https at all, and does this machine trust the server's "
                f"certificate (SSL_CERT_FILE names a private authority)?"
            )
        if isinstance(cause, socket.gaierror):
            return f"{url}: the host name is not known ({cause.strerror}). Check its spelling and this machine's DNS."
        if isinstance(cause, ConnectionRefusedError):
            return f"{url} refuses the connection: nothing listens there. Is the server running, and is the port right?"
    if isinstance(error, httpx.RemoteProtocolError):
        return f"{url}: what answers does not speak HTTP, or stopped in the middle of its answer ({error})"
    return f"{url}: the connection failed: {str(causes[-1]) or type(error).__name__}"


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
