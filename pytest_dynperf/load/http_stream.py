"""The framing of one HTTP/1.1 response. Sans-IO: reads with their stamps in, body pieces with their stamps out; nothing is raised."""

from __future__ import annotations

import httptools

BODY_LIMIT_BYTES = 64 << 20
HEAD_LIMIT_BYTES = 64 << 10
_LONG_HEAD = f"headers of more than {HEAD_LIMIT_BYTES} bytes"


class ResponseStream:
    """One response, chunked, with a content length, or ended by the close of the connection.

    ``pieces`` are (stamp, bytes) of the body as it was framed; ``complete`` says that the message came to its end, ``malformed`` why it
    never will. ``reusable``: the connection may carry another request.
    """

    def __init__(self) -> None:
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self.last_read_ns = 0
        self._header_bytes = self._read_bytes = 0
        self._interim = False
        self._looked_at = 0
        self._token_ns: int | None = None
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.pieces: list[tuple[int, bytes]] = []
        self.body_bytes = 0
        self.first_byte_ns: int | None = None
        self.complete = False
        self.reusable = False
        self.malformed: str | None = None

    def feed(self, data: bytes | memoryview, stamp_ns: int) -> None:
        """Take one read."""
        if self.first_byte_ns is None:
            self.first_byte_ns = stamp_ns
        self.last_read_ns = stamp_ns
        try:
            self._parser.feed_data(data)  # type: ignore[union-attr]  # gone after discard() alone, and this runs for every chunk
        except httptools.HttpParserUpgrade:
            self.malformed = "the server switched protocols"
        except httptools.HttpParserError as error:
            # After the end of the message whatever follows costs us the connection, not the response.
            self.reusable = False
            if not self.complete:
                self.malformed = self.malformed or f"not HTTP/1.1 ({error}): {bytes(data[:200]).decode(errors='replace')}"
        if self.status is None and self.malformed is None:
            # A header that does not end is seen here, and the sum of those that did in on_header.
            self._read_bytes += len(data)
            if self._read_bytes > HEAD_LIMIT_BYTES:
                self.malformed = _LONG_HEAD

    def end_of_input(self) -> None:
        """The server closed the connection: that completes a body without a stated length, and no other."""
        if self.status is not None and not {"content-length", "transfer-encoding"} & self.headers.keys() and self.malformed is None:
            self.complete = True
        self.reusable = False

    @property
    def events(self) -> int:
        """Pieces of body: about the events, for live display alone. Servers send an event as a chunk, as a rule."""
        return len(self.pieces)

    @property
    def last_data_ns(self) -> int | None:
        """Stamp of the last piece with a whole ``data:`` in it. What was looked at before is not looked at again."""
        for position in range(len(self.pieces) - 1, self._looked_at - 1, -1):
            stamp_ns, piece = self.pieces[position]
            if b"data:" in piece:
                self._token_ns = stamp_ns
                break
        self._looked_at = len(self.pieces)
        return self._token_ns

    def body_excerpt(self, limit: int = 2000) -> str:
        """The first ``limit`` bytes of the body as text."""
        excerpt = b""
        for _, piece in self.pieces:
            excerpt += piece
            if len(excerpt) >= limit:
                break
        return excerpt[:limit].decode(errors="replace")

    def discard(self) -> None:
        """Let go of the body and of the parser, which holds this object in a cycle that a resting garbage collector would never free."""
        self._parser = None
        self.pieces = []

    # Called by httptools.

    def on_message_begin(self) -> None:
        """Refuse a second response."""
        if self.complete:
            msg = "more than one response"
            raise ValueError(msg)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep it; of a repeated one, the last."""
        self._header_bytes += len(name) + len(value) + 4
        if self._header_bytes > HEAD_LIMIT_BYTES:
            self.malformed = _LONG_HEAD
            raise ValueError(_LONG_HEAD)
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Skip interim responses (1xx)."""
        assert self._parser is not None
        status = self._parser.get_status_code()
        self._interim = 100 <= status < 200
        if self._interim:
            self.headers.clear()
        else:
            self.status = status

    def on_body(self, body: bytes) -> None:
        """Keep it with the stamp of its read."""
        self.body_bytes += len(body)
        if self.body_bytes > BODY_LIMIT_BYTES:
            self.malformed = f"a body of more than {BODY_LIMIT_BYTES} bytes"
            raise ValueError(self.malformed)
        self.pieces.append((self.last_read_ns, body))

    def on_message_complete(self) -> None:
        """The end that the framing announced."""
        if not self._interim and self._parser is not None:
            self.complete = True
            self.reusable = self._parser.should_keep_alive()
