"""Ready means: the model is listed, the expected instances are there, and one real completion came back complete.

Raises EndpointError for what answers wrongly, ServiceExited for what died on the way, DeploymentError when time is up.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.control import Reply, authorised_headers, exchange
from pytest_dynperf.deployment.launcher import ready_url
from pytest_dynperf.endpoint import shown
from pytest_dynperf.errors import DeploymentError, EndpointError, ServiceExited, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_dynperf.deployment.launcher import Service
    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.workload.prompt import History

POLL_S = 0.05
COMPLETION_S = 30.0
"""How long the first completion may take: a real engine compiles kernels for it, and on a busy CPU that was seen to take more than 10 s."""
_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One answer; token counts are the server's own ``usage``."""

    text: str
    prompt_tokens: int
    completion_tokens: int


def served_models(endpoint: Endpoint, *, timeout_s: float) -> tuple[str, ...]:
    """Names that ``GET /v1/models`` lists.

    :raises EndpointError: when there is no answer, or one that is not a model list.
    """
    url = endpoint.url("/v1/models")
    listing = _json(shown(url), exchange("GET", url, timeout_s=timeout_s, headers=authorised_headers(endpoint), ca_file=endpoint.ca_file))
    entries = listing.get("data") if isinstance(listing, dict) else None
    if not isinstance(entries, list):
        msg = f"{shown(url)} answers JSON that is not a model list ({_short(listing)}): the base URL must be what stands before /v1"
        raise EndpointError(msg)
    return tuple(str(entry["id"]) for entry in entries if isinstance(entry, dict) and "id" in entry)


def check_serves(endpoint: Endpoint, *, timeout_s: float) -> None:
    """Return when the endpoint lists its model.

    :raises EndpointError: refused, unknown host, TLS, timeout, HTTP status, not JSON, not a model list, model not listed: each in words.
    """
    served = served_models(endpoint, timeout_s=timeout_s)
    if endpoint.model in served:
        return
    if not served:
        msg = f"{shown(endpoint.url('/v1/models'))} lists no model at all: its workers are not there yet, or have gone"
        raise EndpointError(msg)
    names = ", ".join(served[:_SHOWN]) + (f" and {len(served) - _SHOWN} more" if len(served) > _SHOWN else "")
    msg = f"{shown(endpoint.base_url)} does not serve the model {endpoint.model!r}{nearest(endpoint.model, served)}; it serves: {names}"
    raise EndpointError(msg)


def complete_once(
    endpoint: Endpoint, *, content: str, max_tokens: int, timeout_s: float, ignore_eos: bool = False, history: History = ()
) -> Completion:
    """Ask for one completion of one user message (after the turns of ``history``, in a chat), not streamed: an answer that is cut short is
    then an error, never a short text. An endpoint whose ``api`` is ``completions`` is asked for a text completion of ``content``.

    :raises EndpointError: no answer, an error answer, or one without choices, tokens or ``usage``.
    """
    chat = endpoint.api == "chat"
    url = endpoint.url("/v1/chat/completions" if chat else "/v1/completions")
    turns = [{"role": role, "content": text} for turn in history for role, text in zip(("user", "assistant"), turn, strict=True)]
    request: dict[str, object] = {
        **dict(endpoint.extra_body),
        "model": endpoint.model,
        **({"messages": [*turns, {"role": "user", "content": content}]} if chat else {"prompt": content}),
        "max_tokens": max_tokens,
        "stream": False,
    }
    if ignore_eos:
        request["ignore_eos"] = True
    reply = exchange("POST", url, timeout_s=timeout_s, headers=authorised_headers(endpoint), ca_file=endpoint.ca_file, body=request)
    return _completion(shown(url), _json(shown(url), reply))


def wait_services(services: Sequence[Service], *, incident: Callable[[], str | None], deadline: float) -> None:
    """Wait until each service's own check answers 200; ``deadline`` is an instant of ``time.monotonic``.

    :raises ServiceExited: as soon as ``incident()`` says that a service has ended.
    :raises DeploymentError: when the deadline has passed; names the service and what it last answered.
    """
    for service in services:
        url = ready_url(service)
        _until(f"service {service.spec.name} ({url})", _answers(url), incident=incident, deadline=deadline)


def wait_ready(endpoint: Endpoint, *, instances: int | None, incident: Callable[[], str | None], deadline: float) -> None:
    """Wait until the frontend lists the model and ``instances`` generating workers (``None``: an engine's own server, which has no such
    list), and one completion has come back.

    :raises ServiceExited: as soon as ``incident()`` says that a service has ended.
    :raises DeploymentError: when the deadline has passed; says what was waited for and what was seen last.
    """

    def listed() -> str | None:
        return _complaint(lambda: check_serves(endpoint, timeout_s=_left(deadline)))

    def present() -> str | None:
        if instances is None:
            return None
        return _complaint(lambda: _check_instances(endpoint, instances, timeout_s=_left(deadline)))

    def completes() -> str | None:
        return _complaint(
            lambda: complete_once(endpoint, content="ready?", max_tokens=4, timeout_s=min(COMPLETION_S, _left(deadline)), ignore_eos=True)
        )

    for what, condition in (
        (f"model {endpoint.model} at {endpoint.base_url}", listed),
        (f"{instances} generating instances at {endpoint.url('/health')}", present),
        (f"one completion from {endpoint.base_url}", completes),
    ):
        _until(what, condition, incident=incident, deadline=deadline)


def _check_instances(endpoint: Endpoint, expected: int, *, timeout_s: float) -> None:
    url = endpoint.url("/health")
    health = _json(url, exchange("GET", url, timeout_s=timeout_s, headers=authorised_headers(endpoint), ca_file=endpoint.ca_file))
    entries = health.get("instances") if isinstance(health, dict) else None
    found = {
        (entry.get("component"), entry.get("instance_id"))
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and entry.get("endpoint") == "generate"
    }
    if len(found) != expected:
        msg = f"{url} lists {len(found)} instances with endpoint 'generate', expected {expected}"
        raise EndpointError(msg)


def _until(what: str, condition: Callable[[], str | None], *, incident: Callable[[], str | None], deadline: float) -> None:
    """Poll ``condition`` (``None`` = fulfilled, else what is missing) until it holds."""
    began = time.monotonic()
    while True:
        gone = incident()
        if gone is not None:
            raise ServiceExited(gone)
        missing = condition()
        if missing is None:
            return
        if time.monotonic() >= deadline:
            msg = f"not ready: waited {time.monotonic() - began:.1f} s for {what}; last seen: {missing}"
            raise DeploymentError(msg)
        time.sleep(POLL_S)


def _answers(url: str) -> Callable[[], str | None]:
    def condition() -> str | None:
        try:
            reply = exchange("GET", url, timeout_s=2.0)
        except EndpointError as error:
            return str(error)
        return None if reply.status == 200 else f"HTTP {reply.status}: {reply.excerpt}"

    return condition


def _complaint(check: Callable[[], object]) -> str | None:
    try:
        check()
    except EndpointError as error:
        return str(error)
    return None


def _left(deadline: float) -> float:
    return max(0.5, deadline - time.monotonic())


def _json(url: str, reply: Reply) -> object:
    if reply.status in (401, 403):
        msg = (
            f"{url} answers HTTP {reply.status}: it wants an API key, or another one. Put the key into an environment variable and name "
            f"the variable with --dynperf-api-key-env. It says: {reply.excerpt}"
        )
        raise EndpointError(msg)
    if not 200 <= reply.status < 300:
        msg = f"{url} answers HTTP {reply.status}{_redirect(reply.status)}: {reply.excerpt or 'without a text'}"
        raise EndpointError(msg)
    try:
        value: object = json.loads(reply.body)
    except ValueError as error:
        msg = (
            f"{url} answers {reply.content_type or 'no content type'} instead of JSON, beginning {reply.excerpt!r}: "
            f"is this the OpenAI-compatible server itself?"
        )
        raise EndpointError(msg) from error
    return value


def _redirect(status: int) -> str:
    return " (a redirection: give the URL that it leads to)" if 300 <= status < 400 else ""


def _completion(url: str, answer: object) -> Completion:
    if not isinstance(answer, dict):
        msg = f"{url} answers JSON that is not a completion: {_short(answer)}"
        raise EndpointError(msg)
    choices, usage = answer.get("choices"), answer.get("usage")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = choice.get("message", {"content": choice["text"]} if "text" in choice else None)
    if not isinstance(message, dict):
        msg = f"{url} answers a completion without choices: {_short(answer)}"
        raise EndpointError(msg)
    prompt, completion = (usage.get("prompt_tokens"), usage.get("completion_tokens")) if isinstance(usage, dict) else (None, None)
    if not isinstance(prompt, int) or not isinstance(completion, int):
        msg = f"{url} answers a completion without token counts (usage.prompt_tokens, usage.completion_tokens): {_short(answer)}"
        raise EndpointError(msg)
    if completion < 1:
        msg = f"{url} answers a completion of {completion} tokens: the server is up and generates nothing"
        raise EndpointError(msg)
    text = message.get("content") or message.get("reasoning_content") or ""
    return Completion(text=str(text), prompt_tokens=prompt, completion_tokens=completion)


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else text[:117] + "..."
