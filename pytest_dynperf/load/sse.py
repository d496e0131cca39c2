"""Server-sent events and what OpenAI-compatible servers put into them. Sans-IO: bytes and stamps in, facts out; nothing is raised.

Runs after a request has ended, over the captured (stamp, bytes) pieces. An event has the stamp of the piece that completed it. Chunks of
chat completions and of text completions are read alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LINE_LIMIT_BYTES = 1 << 20
_EXCERPT = 200


class Event(NamedTuple):
    """One event. ``kind`` is its ``event:`` field (``message`` where there is none), ``comment`` its comment lines: Dynamo reports some
    errors as ``event: error`` with a comment and no data.
    """

    kind: str
    data: bytes
    comment: bytes


class LineTooLong(ValueError):
    """A line passed :data:`LINE_LIMIT_BYTES`."""


class EventParser:
    """Incremental. Lines end in LF or CRLF."""

    __slots__ = ("_buffer", "_comment", "_data", "_kind")

    def __init__(self) -> None:
        self._buffer = b""
        self._kind = "message"
        self._data: list[bytes] = []
        self._comment: list[bytes] = []

    def feed(self, piece: bytes) -> list[Event]:
        """Events that ``piece`` completes.

        :raises LineTooLong: and then the parser must not be used again.
        """
        if not self._buffer and piece[:6] == b"data: " and piece[-2:] == b"\n\n" and piece.count(b"\n") == 2 and not self._pending:
            # By far the most frequent: one piece that is one event.
            self._check(len(piece))
            return [Event("message", piece[6:-2].removesuffix(b"\r"), b"")]
        *lines, self._buffer = (self._buffer + piece).split(b"\n")
        self._check(len(self._buffer))
        events = []
        for line in lines:
            self._check(len(line))
            stripped = line.removesuffix(b"\r")
            if stripped:
                self._take(stripped)
            elif (event := self._flush()) is not None:
                events.append(event)
        return events

    def finish(self) -> Event | None:
        """The event that the end of the stream left without its blank line, if any."""
        if self._buffer:
            self._take(self._buffer.removesuffix(b"\r"))
            self._buffer = b""
        return self._flush()

    @property
    def between_events(self) -> bool:
        """Whether nothing of what was fed is waiting for more."""
        return not self._buffer and not self._pending

    @property
    def _pending(self) -> bool:
        return bool(self._data or self._comment) or self._kind != "message"

    @staticmethod
    def _check(length: int) -> None:
        if length > LINE_LIMIT_BYTES:
            msg = f"a line of more than {LINE_LIMIT_BYTES} bytes in the event stream"
            raise LineTooLong(msg)

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._kind = value.decode(errors="replace")
        elif not name:
            self._comment.append(value)

    def _flush(self) -> Event | None:
        if not self._pending:
            return None
        event = Event(self._kind, b"\n".join(self._data), b"\n".join(self._comment))
        self._kind, self._data, self._comment = "message", [], []
        return event


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[msgspec.Raw] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Timing(msgspec.Struct):
    ttft_ms: float | None = None


class _Extension(msgspec.Struct):
    timing: _Timing | None = None


class _Chunk(msgspec.Struct):
    id: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = msgspec.Raw()
    nvext: _Extension | None = None


_decode = msgspec.json.Decoder(_Chunk).decode


@dataclass(slots=True)
class StreamContent:
    """What a stream said. ``chunk_ns``, ``coalesced`` and ``first_output_ns`` are those of RequestRecord; ``totals`` holds the
    ``completion_tokens`` that came with a content chunk; ``error`` is the server's text, ``malformed`` ours.
    """

    chunk_ns: list[int] = field(default_factory=list)
    totals: list[int] = field(default_factory=list)
    first_output_ns: int | None = None
    coalesced: int = 0
    response_id: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    server_ttft_s: float | None = None
    done: bool = False
    events: int = 0
    last_event_ns: int | None = None
    error: str | None = None
    malformed: str | None = None

    def chunk_tokens(self) -> tuple[int, ...] | None:
        """Tokens of each content chunk; ``None`` where not every one came with its usage, or the totals fell.

        Tokens that brought no content are counted with the next chunk that did.
        """
        if not self.totals or len(self.totals) != len(self.chunk_ns):
            return None
        tokens = tuple(now - before for before, now in pairwise([0, *self.totals]))
        return tokens if min(tokens) >= 0 else None


def read_stream(pieces: Iterable[tuple[int, bytes]]) -> StreamContent:
    """Parse a captured body. Stops at what cannot be parsed and says so in ``malformed``. About 0.6 µs for a chunk that differs from an
    earlier one in plain text alone, 2.5 µs for any other.
    """
    content = StreamContent()
    parser = EventParser()
    first = b""
    stamp_ns = 0
    form: _Form | None = None
    lessons = _LESSONS
    try:
        for stamp_ns, piece in pieces:
            if form is not None and form.fits(piece):
                content.events += 1
                content.last_event_ns = stamp_ns
                _add_chunk(content, stamp_ns)
                continue
            if len(first) < _EXCERPT:
                first += piece
            learns = lessons > 0 and parser.between_events
            known = len(content.chunk_ns)
            for event in parser.feed(piece):
                _read_event(content, event, stamp_ns)
            if form is not None and (content.malformed is not None or not parser.between_events):
                form = None
            elif learns and len(content.chunk_ns) > known and parser.between_events and content.malformed is None:
                lessons -= 1
                form = _form_of(piece) or form
    except LineTooLong as error:
        content.malformed = str(error)
        return content
    last = parser.finish()
    if last is not None and last.data.strip() == b"[DONE]":
        # Complete but for its blank line. Anything else that was left unfinished is a truncated stream.
        _read_event(content, last, stamp_ns)
    if not content.events and first.strip() and content.malformed is None:
        content.malformed = f"no server-sent event in the answer: {_excerpt(first)}"
    return content


def read_text(pieces: Iterable[tuple[int, bytes]]) -> str:
    """The text of a captured body, of its first choice: contents joined, without reasoning and tool calls; what cannot be parsed is left
    out. About 3 µs a chunk. A pass of its own, so that :func:`read_stream` costs no more where nobody asks for texts.
    """
    parser = EventParser()
    texts: list[str] = []
    try:
        for _, piece in pieces:
            for event in parser.feed(piece):
                texts += _texts_of(event)
    except LineTooLong:
        pass
    return "".join(texts)


def _texts_of(event: Event) -> Iterator[str]:
    try:
        chunk = _decode(event.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # [DONE] first of all
        return
    for choice in (chunk.choices or ())[:1]:
        text = choice.text or (choice.delta.content if choice.delta is not None else None)
        if text:
            yield text


def _read_event(content: StreamContent, event: Event, stamp_ns: int) -> None:
    if event.kind == "error":
        content.events += 1
        content.error = content.error or (event.data or event.comment or b"event: error").decode(errors="replace")
        return
    if not event.data:  # a comment that keeps the connection alive
        return
    content.events += 1
    content.last_event_ns = stamp_ns
    if event.data.strip() == b"[DONE]":
        content.done = True
        return
    if content.malformed is not None:
        return
    try:
        chunk = _decode(event.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        content.malformed = f"an event is no completion chunk ({error}): {_excerpt(event.data)}"
        return
    _read_chunk(content, chunk, stamp_ns)


def _read_chunk(content: StreamContent, chunk: _Chunk, stamp_ns: int) -> None:
    if (text := bytes(chunk.error)) not in {b"", b"null"}:
        content.error = content.error or text.decode(errors="replace")
    if content.response_id is None:
        content.response_id = chunk.id
    known = len(content.chunk_ns)
    for choice in chunk.choices or ():
        delta = choice.delta
        if choice.text or (delta is not None and (delta.content or delta.tool_calls)):
            if content.first_output_ns is None:
                content.first_output_ns = stamp_ns
            _add_chunk(content, stamp_ns)
        elif delta is not None and (delta.reasoning_content or delta.reasoning):
            _add_chunk(content, stamp_ns)
        content.finish_reason = choice.finish_reason or content.finish_reason
    if (usage := chunk.usage) is not None:
        content.prompt_tokens = usage.prompt_tokens
        content.completion_tokens = usage.completion_tokens
        if usage.prompt_tokens_details is not None:
            content.cached_tokens = usage.prompt_tokens_details.cached_tokens
        if usage.completion_tokens is not None and len(content.chunk_ns) > known:
            content.totals.append(usage.completion_tokens)
    if chunk.nvext is not None and chunk.nvext.timing is not None and chunk.nvext.timing.ttft_ms is not None:
        content.server_ttft_s = chunk.nvext.timing.ttft_ms / 1e3


def _add_chunk(content: StreamContent, stamp_ns: int) -> None:
    if content.chunk_ns and content.chunk_ns[-1] == stamp_ns:
        content.coalesced += 1
    content.chunk_ns.append(stamp_ns)


# Most chunks of a stream are alike but for a few plain characters of text. What was read of one holds for all of them.

_PLAIN = rb"[ !#-\[\]-~]+"  # of a JSON string: no escape, no quote, nothing that could be wrong
_plain = re.compile(_PLAIN).fullmatch
_plain_text = re.compile(rb'"(?:content|text)": ?"(' + _PLAIN + rb')"')
_LESSONS = 8  # attempts to learn a form: a stream in which none holds must not pay for them for ever


class _Form(NamedTuple):
    """A piece that is one event with one chunk, which tells nothing but text: what stands before the text, and after it."""

    before: bytes
    after: bytes

    def fits(self, piece: bytes) -> bool:
        """Whether ``piece`` differs from the one that was learned from in plain text alone."""
        before, after = self
        return (
            piece.startswith(before)
            and piece.endswith(after)
            and len(piece) <= LINE_LIMIT_BYTES
            and _plain(piece, len(before), len(piece) - len(after)) is not None
        )


def _form_of(piece: bytes) -> _Form | None:
    """The form of a piece that was read without fault, if its chunk tells nothing that another of this form might not tell."""
    found = list(_plain_text.finditer(piece))
    if len(found) != 1 or not piece.startswith(b"data: ") or not piece.endswith(b"\n\n") or piece.count(b"\n") != 2:
        return None
    chunk = _decode(piece[6:-2])
    if chunk.usage is not None or chunk.nvext is not None or bytes(chunk.error) not in {b"", b"null"}:
        return None
    if chunk.choices is None or len(chunk.choices) != 1:
        return None
    choice = chunk.choices[0]
    text = choice.text or (choice.delta.content if choice.delta is not None else None)
    if choice.finish_reason is not None or text is None or text.encode() != found[0][1]:
        return None
    return _Form(piece[: found[0].start(1)], piece[found[0].end(1) :])


def _excerpt(data: bytes) -> str:
    return data[:_EXCERPT].decode(errors="replace")
