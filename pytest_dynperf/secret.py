"""Secrets out of what is written: which texts are secret, and their replacement by ``[redacted]``. Pure.

In: an environment, a command line, headers; a text, a value, or a stream of bytes. Out: the same without the secrets. A secret is known by
the variable, option or header that holds it, or by its own shape (``hf_…``, ``sk-…``, ``Bearer …``). Nothing here prints a secret:
:class:`Secrets` does not show what it holds.
"""

from __future__ import annotations

import base64
import html
import json
import re
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import quote, quote_plus, unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

T = TypeVar("T")

REDACTED = "[redacted]"
SHORTEST = 6
"""A shorter value is left alone: it would be found by chance, and it protects nothing."""

_CUT_OFF = 8
"""So much of a secret at a cut end of a text is redacted too."""
_LINE = 16
"""A line of a secret of several lines (a private key) is a secret of its own from this length on: logs break it up."""
_PIECE = 1 << 20
_OVERLAP = 1 << 16

_NAME = re.compile(
    r"(?:^|_)(?:API_?KEY|TOKEN|SECRET|ACCESS_KEY|SECRET_KEY|PRIVATE_KEY)$|PASSWORD|PASSWD|PASSPHRASE|^AWS_|^NGC_.*(?:KEY|TOKEN)",
    re.IGNORECASE,
)
_PUBLIC = re.compile(
    r"_(?:FILE|PATH|DIR|DIRECTORY|URL|URI|REGION|PROFILE|OUTPUT|PAGER|MODE|ATTEMPTS|NAME|ARN|DISABLED|VERSION|BUNDLE|ENV|ORG|TEAM)$",
    re.IGNORECASE,
)
_HEADER = re.compile(r"authorization|cookie|api-?key|token|secret|password", re.IGNORECASE)

# What a secret is written as where its value is not known beforehand: literals to search for, and what must stand there; its group is the
# secret. Literals, because searching for one of those is twenty times as fast. Repetitions end at what cannot be in a secret, or are
# bounded, so that the cost is linear in the text.
_VALUE = r"(?!\[redacted|\$\{)([^\s\"'`,;\\<>\])}]{6,})"
_QUOTE = r"[\"'\\]{0,4}"
_SCHEME = r"(?i:(?:bearer|basic|token|digest|negotiate|apikey)\s{1,4})?+"
_OPTION = (
    r"--(?i:(?:(?:hf|auth|access|bearer|api|client|admin|ngc|refresh|session)[-_])?"
    r"(?:api[-_]key|token|secret|password|passwd|access[-_]key))(?![\w-])"
    rf"{_QUOTE}(?:\s{{0,4}}[=,]\s{{0,4}}|\s{{1,4}}){_QUOTE}(?!-){_VALUE}"
)
_NAMES = ("API_KEY", "_TOKEN", "_SECRET", "ACCESS_KEY", "SECRET_KEY", "PASSWORD", "PASSWD", "hf_token", "password")
_ALONE = r"(?<![A-Za-z0-9])"
_SHAPES = tuple(
    (literals, re.compile(pattern, re.ASCII))
    for literals, pattern in (
        (("://",), r"://([^/\s?#\"'<>:@]{16,}|[^/\s?#\"'<>:@]{0,256}:[^/\s?#\"'<>]{1,})@"),
        (("uthorization", "UTHORIZATION"), rf"(?i:uthorization){_QUOTE}\s{{0,4}}[:=]\s{{0,4}}{_QUOTE}{_SCHEME}{_VALUE}"),
        (("earer ", "EARER "), r"(?i:earer)\s{1,4}([A-Za-z0-9._~+/=-]{16,})"),
        (
            ("pi_key", "PI_KEY", "pi-key", "pi-Key", "PI-Key", "PI-KEY"),
            rf"(?i:pi_key|(?<=x-a)pi-key){_QUOTE}\s{{0,4}}[:=]\s{{0,4}}(?!\[redacted)\[?{_QUOTE}{_VALUE}",
        ),
        (("--",), _OPTION),
        (_NAMES, rf"(?:{'|'.join(_NAMES)})\s{{0,2}}=\s{{0,2}}{_QUOTE}{_VALUE}"),
        (("hf_",), _ALONE + r"(hf_[A-Za-z0-9]{16,})"),
        (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), _ALONE + r"(gh[a-z]_[A-Za-z0-9]{20,})"),
        (("github_pat_",), _ALONE + r"(github_pat_[A-Za-z0-9_]{20,})"),
        (("nvapi-", "glpat-"), _ALONE + r"((?:nvapi|glpat)-[\w-]{16,})"),
        (("sk-",), _ALONE + r"(sk-(?=[\w-]{0,64}?[A-Z0-9])[\w-]{16,})"),
        (("xoxa-", "xoxb-", "xoxp-", "xoxr-", "xoxs-"), _ALONE + r"(xox[a-z]-[\w-]{10,})"),
        (("AKIA", "ASIA"), _ALONE + r"((?:AKIA|ASIA)[0-9A-Z]{16})(?![A-Za-z0-9])"),
        (("eyJ",), _ALONE + r"(eyJ[\w-]{8,2048}\.[\w-]{8,4096}\.[\w-]{8,4096})"),
    )
)
_BASE64 = re.compile(r"[A-Za-z0-9+/=_-]*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What is to be redacted. Made by :func:`secrets_of` and :func:`known_secrets`; its ``repr`` tells how many there are, not which.

    ``plain`` are the texts themselves; ``written`` those and what encoders make of them; ``coded`` are parts of base64, whose whole run
    is redacted.
    """

    plain: tuple[str, ...] = field(default=(), repr=False)
    written: tuple[str, ...] = field(default=(), repr=False)
    coded: tuple[str, ...] = field(default=(), repr=False)

    def __repr__(self) -> str:
        return f"Secrets({len(self.plain)})"


NONE = Secrets()
"""No secret is known; what has the shape of one is redacted all the same."""


def is_secret_name(name: str) -> bool:
    """Whether the environment variable ``name`` holds a secret by its name: ``HF_TOKEN``, ``*_API_KEY``, ``*_TOKEN``, ``*_SECRET``,
    ``*_ACCESS_KEY``, ``*_PRIVATE_KEY``, ``*PASSWORD*``, ``AWS_*`` and NGC's keys. Not one that names a file, a region or the like.
    """
    return _NAME.search(name) is not None and _PUBLIC.search(name) is None


def known_secrets(
    environ: Mapping[str, str],
    *,
    variables: Iterable[str | None] = (),
    arguments: Sequence[str] = (),
    headers: Iterable[tuple[str, str]] = (),
) -> Secrets:
    """The secrets in an environment, in a command line and in headers. ``variables`` are further names whose values are secret (that of
    ``--dynperf-api-key-env``); ``None`` among them is passed over. 0.1 ms for a hundred variables.
    """
    named = {*variables}
    found: list[str] = []
    for name, value in environ.items():
        if name in named or is_secret_name(name):
            found.append(value)
        found += _shaped_texts(value)
    found += [text for argument in (*arguments, " ".join(arguments)) for text in _shaped_texts(argument)]
    for name, value in headers:
        if _HEADER.search(name):
            found += [value, value.rpartition(" ")[2]]
        found += _shaped_texts(f"{name}: {value}")
    return secrets_of(found)


def secrets_of(values: Iterable[str]) -> Secrets:
    """``values`` as secrets, blanks around them taken off; those shorter than six characters, or part of ``[redacted]``, are left out."""
    plain: dict[str, None] = {}
    for value in values:
        for text in (value.strip(), *(line.strip() for line in value.splitlines() if len(line.strip()) >= _LINE and "-----" not in line)):
            if len(text) >= SHORTEST and text not in REDACTED:
                plain[text] = None
    longest_first = sorted(plain, key=lambda text: (-len(text), text))
    written = {form: None for text in longest_first for form in _written(text)}
    coded = {form: None for text in longest_first for form in _coded(text.encode("utf-8", "surrogateescape"))}
    return Secrets(plain=tuple(longest_first), written=tuple(written), coded=tuple(coded))


def redact(text: str, secrets: Secrets = NONE, *, cut: bool = False) -> str:
    """``text`` with every secret replaced by ``[redacted]``: as it is, URL-encoded, escaped for JSON or HTML, in base64 (there the whole
    run, so that ``user:secret`` goes too), and what has the shape of one. Overlapping secrets become one. Applied again it changes nothing.

    ``cut``: ``text`` is part of a longer one, and what it begins or ends with may be part of a secret (8 characters and more are seen).
    Linear in the text: 15 µs for a line, 30 ms per MiB with ten secrets known, and 6 ms more for every ten more.
    """
    if len(text) < SHORTEST:
        return text
    spans = [*_known(text, secrets), *_shaped(text)]
    if cut:
        spans += _ends(text, secrets)
    if not spans:
        return text
    spans.sort()
    parts: list[str] = []
    done = 0
    first, last = spans[0]
    for start, end in (*spans[1:], (len(text) + 1, len(text) + 1)):
        if start <= last:
            last = max(last, end)
            continue
        parts += (text[done:first], REDACTED)
        done, first, last = last, start, end
    return "".join((*parts, text[done:]))


def redact_value(value: T, secrets: Secrets = NONE, *, keep: frozenset[str] = frozenset()) -> T:
    """``value`` with every text in it redacted: in dataclasses, tuples, lists and values of mappings, at any depth. Keys of mappings,
    enums and paths stay, and so does everything below a field whose name is in ``keep``: names by which a program finds things. What
    has no secret in it is returned as it is. About 10 µs a text.
    """
    return cast("T", _redacted(value, secrets, keep))


def redact_stream(pieces: Iterable[bytes], secrets: Secrets = NONE) -> Iterator[tuple[bytes, bytes]]:
    """The bytes of a file piece by piece, each as it was and redacted, whatever their encoding. Pieces end at ends of lines, where there
    are any within 1 MiB; a secret that is longer than 64 KiB and on a line longer than 1 MiB may be missed. Holds some MiB.
    """
    # One byte is one character here: nothing can fail to decode, and what is not ASCII comes out as it went in.
    as_bytes = Secrets(plain=_latin(secrets.plain), written=_latin(secrets.written), coded=secrets.coded)
    held = ""
    for piece in pieces:
        held += piece.decode("latin-1")
        if len(held) < _PIECE:
            continue
        cut = held.rfind("\n") + 1 or _between(held, as_bytes)
        yield _both(held[:cut], as_bytes)
        held = held[cut:]
    yield _both(held, as_bytes)


def _both(text: str, secrets: Secrets) -> tuple[bytes, bytes]:
    return text.encode("latin-1"), redact(text, secrets).encode("latin-1")


def _between(text: str, secrets: Secrets) -> int:
    """Where a text without a line end can be cut: before the last 64 KiB, and not within a secret."""
    cut = len(text) - _OVERLAP
    for start, end in sorted((*_known(text, secrets), *_shaped(text)), reverse=True):
        if start < cut < end:
            cut = start
    return cut or len(text)


def _latin(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(text.encode("utf-8", "surrogateescape").decode("latin-1") for text in texts)


def _redacted(value: object, secrets: Secrets, keep: frozenset[str]) -> object:
    if isinstance(value, str):
        # A text of an enum is no free text.
        return redact(value, secrets) if type(value) is str else value
    if isinstance(value, tuple | list):
        names = getattr(value, "_fields", None) or ("",) * len(value)
        items = [item if name in keep else _redacted(item, secrets, keep) for name, item in zip(names, value, strict=True)]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        made: object = type(value)(*items) if hasattr(value, "_fields") else type(value)(items)  # type: ignore[arg-type]
        return made
    if isinstance(value, dict):
        values = {name: item if name in keep else _redacted(item, secrets, keep) for name, item in value.items()}
        return value if all(values[name] is item for name, item in value.items()) else values
    if is_dataclass(value) and not isinstance(value, type):
        found = {one.name: getattr(value, one.name) for one in fields(value) if one.init and one.name not in keep}
        changed = {name: new for name, old in found.items() if (new := _redacted(old, secrets, keep)) is not old}
        return replace(value, **changed) if changed else value
    return value


def _known(text: str, secrets: Secrets) -> Iterator[tuple[int, int]]:
    for form in secrets.written:
        yield from _found(text, form)
    for form in secrets.coded:
        done = 0
        for start, end in _found(text, form):
            if start >= done:
                done = _run_end(text, end)
                yield _run_start(text, start), done


def _run_end(text: str, at: int) -> int:
    run = _BASE64.match(text, at)
    return run.end() if run else at


def _run_start(text: str, at: int) -> int:
    run = _BASE64.match(text[max(0, at - _OVERLAP) : at][::-1])
    return at - (run.end() if run else 0)


def _found(text: str, form: str) -> Iterator[tuple[int, int]]:
    start = text.find(form)
    while start >= 0:
        yield start, start + len(form)
        start = text.find(form, start + 1)


def _shaped(text: str) -> Iterator[tuple[int, int]]:
    for literals, pattern in _SHAPES:
        for literal in literals:
            at = text.find(literal)
            while at >= 0:
                match = pattern.match(text, at)
                if match is not None:
                    yield match.span(1)
                at = text.find(literal, at + 1 if match is None else match.end())


def _shaped_texts(text: str) -> Iterator[str]:
    """Secrets in ``text`` by their shape; of a URL with user and password both the password and what it decodes to."""
    for start, end in _shaped(text):
        found = text[start:end]
        if text[start - 3 : start] == "://":
            found = found.partition(":")[2] or found
            yield unquote(found)
        yield found


def _ends(text: str, secrets: Secrets) -> Iterator[tuple[int, int]]:
    """Beginnings of secrets at the end of ``text``, and ends of secrets at its beginning."""
    for form in secrets.written:
        beginning, end = form[:_CUT_OFF], form[-_CUT_OFF:]
        at = text.find(beginning, max(0, len(text) - len(form)))
        while at >= 0:
            if form.startswith(text[at:]):
                yield at, len(text)
                break
            at = text.find(beginning, at + 1)
        at = text.rfind(end, 0, len(form))
        while at >= 0:
            if form.endswith(text[: at + len(end)]):
                yield 0, at + len(end)
                break
            at = text.rfind(end, 0, at + len(end) - 1)


def _written(text: str) -> Iterator[str]:
    """``text``, and as encoders write it into addresses, JSON and HTML."""
    yield text
    raw = text.encode("utf-8", "surrogateescape")
    for encoded in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
        yield encoded
        yield re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), encoded)
    yield from (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1], html.escape(text))


def _coded(secret: bytes) -> Iterator[str]:
    """The part of base64 that ``secret`` alone decides, at each of the three places where it can begin."""
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + secret).decode()
        own = encoded[(0, 2, 3)[offset] : (offset + len(secret)) * 8 // 6]
        if len(own) > SHORTEST:
            yield own
            yield own.replace("+", "-").replace("/", "_")
