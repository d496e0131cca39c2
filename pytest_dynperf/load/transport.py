"""Bytes out, and bytes in with the instant at which they came.

Plain HTTP on Linux: a non-blocking socket on the loop's poller, with the kernel's receive stamps (``SO_TIMESTAMPNS``), so that a late event
loop does not make the server look late. TLS, and other systems: the loop's own transport, with stamps taken in user space, and
:attr:`Transport.stamp` says so. ``docs/instrument.md`` holds the measurements that decided between the ways to receive.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
import sys
import weakref
from time import monotonic_ns
from typing import TYPE_CHECKING, Protocol, cast

from pytest_dynperf.errors import EndpointError
from pytest_dynperf.observation.request_record import Stamp

if TYPE_CHECKING:
    from pytest_dynperf.load.chat_request import Origin
    from pytest_dynperf.load.clock import ClockOffset

KERNEL_STAMPS = sys.platform == "linux"
"""Whether the kernel stamps what it receives in a way that this module understands."""

_SO_TIMESTAMPNS = 35  # Linux; the standard library has no name for it
_TIMESPEC = struct.Struct("@ll")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)
_BUFFER_BYTES = 256 << 10
_TCP_QUICKACK: int = getattr(socket, "TCP_QUICKACK", 0)  # Linux alone has it
_FULL_BYTES = 512
"""A segment of 536 bytes or more may be taken for a full one, which older kernels acknowledge late in spite of TCP_QUICKACK."""

_unpack = _TIMESPEC.unpack


class Receiver(Protocol):
    """Who is told."""

    def received(self, data: bytes | memoryview, stamp_ns: int, lag_ns: int | None) -> None:
        """One read. ``stamp_ns`` is CLOCK_MONOTONIC; ``lag_ns`` is user minus kernel stamp, ``None`` where the kernel gave none.
        ``data`` is valid during the call only.
        """

    def lost(self, error: Exception | None) -> None:
        """The peer closed (``None``) or the connection broke. Called at most once, and never after ``close``."""


class Transport(Protocol):
    """One connection."""

    stamp: Stamp

    def send(self, data: bytes) -> None:
        """Hand to the kernel what it takes now, and the rest when it can. Errors arrive as ``lost``."""

    def sending(self) -> bool:
        """Whether bytes are still waiting."""

    def look(self) -> None:
        """Read now, in case that the poller failed to announce something."""

    def close(self) -> None:
        """At once, without a farewell. May be called again."""


class SocketTransport:
    """A connected, non-blocking TCP socket."""

    stamp = Stamp.KERNEL

    def __init__(
        self, connected: socket.socket, receiver: Receiver, clock: ClockOffset, loop: asyncio.AbstractEventLoop, buffer: memoryview
    ) -> None:
        self._socket = connected
        self._receiver = receiver
        self._clock = clock
        self._loop = loop
        self._buffer = buffer
        self._unsent = memoryview(b"")
        self._asked = True
        # Bound once: they are called for every chunk.
        self._receive, self._received = connected.recvmsg_into, receiver.received
        self._descriptor = connected.fileno()
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        loop.add_reader(self._descriptor, self._readable)

    def send(self, data: bytes) -> None:
        """As :class:`Transport` says."""
        self._asked = True
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lose(error)
            return
        if sent < len(data):
            self._unsent = memoryview(data)[sent:]
            self._loop.add_writer(self._descriptor, self._writable)

    def sending(self) -> bool:
        """As :class:`Transport` says."""
        return bool(self._unsent)

    def look(self) -> None:
        """As :class:`Transport` says. libuv gives up a socket after it has announced its reset once: where data came with it, only this
        sees the reset.
        """
        if self._descriptor >= 0:
            self._readable()

    def close(self) -> None:
        """As :class:`Transport` says."""
        if self._descriptor < 0:
            return
        self._loop.remove_reader(self._descriptor)
        if self._unsent:
            self._loop.remove_writer(self._descriptor)
        self._descriptor = -1
        self._socket.close()

    def _lose(self, error: OSError | None) -> None:
        if self._descriptor >= 0:
            self.close()
            self._receiver.lost(error)

    def _writable(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error)
            return
        if sent == len(self._unsent):
            self._loop.remove_writer(self._descriptor)
        self._unsent = self._unsent[sent:]

    def _readable(self) -> None:
        try:
            size, ancillary, _, _ = self._receive((self._buffer,), _ANCILLARY_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error)
            return
        stamp_ns = monotonic_ns()
        if not size:
            self._lose(None)
            return
        if self._asked or size >= _FULL_BYTES:
            # Having sent soon after it received, the kernel takes the connection for a dialogue and acknowledges late. A server without
            # TCP_NODELAY then holds its next chunk back: Dynamo's first tokens would come in one burst, 24 ms late.
            self._asked = False
            self._socket.setsockopt(socket.IPPROTO_TCP, _TCP_QUICKACK, 1)
        if ancillary:
            # The only control message that was asked for.
            seconds, nanoseconds = _unpack(ancillary[0][2])
            kernel_ns = seconds * 1_000_000_000 + nanoseconds - self._clock.offset_ns
            self._received(self._buffer[:size], kernel_ns, stamp_ns - kernel_ns)
        else:
            self._received(self._buffer[:size], stamp_ns, None)


class LoopTransport(asyncio.Protocol):
    """The event loop's own transport: the way to TLS, and the only one where the kernel's stamps cannot be had."""

    stamp = Stamp.USER

    def __init__(self, receiver: Receiver) -> None:
        self._receiver: Receiver | None = receiver
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._asked = True

    @property
    def gone(self) -> bool:
        """Whether the connection has ended."""
        return self._receiver is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop after the handshake."""
        self._transport = cast("asyncio.Transport", transport)
        self._socket = transport.get_extra_info("socket")
        if self._socket is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Called by the loop, after it has read and decrypted: the stamp is as late as that."""
        stamp_ns = monotonic_ns()
        if self._socket is not None and (self._asked or len(data) >= _FULL_BYTES) and _TCP_QUICKACK:
            self._asked = False
            self._socket.setsockopt(socket.IPPROTO_TCP, _TCP_QUICKACK, 1)
        if self._receiver is not None:
            self._receiver.received(data, stamp_ns, None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop, once."""
        self._socket = None
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.lost(exc)

    def send(self, data: bytes) -> None:
        """As :class:`Transport` says."""
        assert self._transport is not None
        self._asked = True
        self._transport.write(data)

    def sending(self) -> bool:
        """As :class:`Transport` says."""
        return self._transport is not None and self._transport.get_write_buffer_size() > 0

    def look(self) -> None:
        """Nothing to do: the loop reads on its own."""

    def close(self) -> None:
        """As :class:`Transport` says."""
        self._receiver = None
        if self._transport is not None:
            self._transport.abort()


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Trusts the authorities in ``ca_file`` alone; ``None``: the platform's, or those of SSL_CERT_FILE and SSL_CERT_DIR.

    :raises EndpointError: when the file cannot be read, or holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # includes SSLError
        msg = (
            f"the certificates of {ca_file} (ca_file) cannot be read: {error.strerror or error}. "
            "Give a file of PEM certificates, the authorities that the server's certificate is checked against."
        )
        raise EndpointError(msg) from error


def _keep_stamping(owner: object) -> None:
    """Have the kernel stamp what it receives for as long as ``owner`` lives.

    It begins a little after the first socket asked for it, and stops after the last one is gone: without this, the first chunks of a first
    connection could come without a stamp.
    """
    asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asking.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    weakref.finalize(owner, os.close, asking.detach())


class Dialer:
    """Opens connections to one origin. The name is resolved once, so no request pays for it. ``ca_file`` matters for https alone.

    :raises EndpointError: as :func:`tls_context` does.
    """

    def __init__(self, origin: Origin, clock: ClockOffset, *, ca_file: str | None = None) -> None:
        self._origin = origin
        self._clock = clock
        self._addresses: list[tuple[socket.AddressFamily, tuple[object, ...]]] = []
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))  # shared: a read is consumed before the next one
        self._tls = tls_context(ca_file) if origin.tls else None
        if KERNEL_STAMPS:
            _keep_stamping(self)

    async def dial(self, receiver: Receiver) -> Transport:
        """A new connection.

        :raises OSError: when none of the origin's addresses accepts one (a certificate that is not trusted included).
        """
        loop = asyncio.get_running_loop()
        if not self._addresses:
            found = await loop.getaddrinfo(self._origin.host, self._origin.port, type=socket.SOCK_STREAM)
            self._addresses = [(family, address) for family, _, _, _, address in found]
        for position, (family, address) in enumerate(self._addresses):
            try:
                transport = await self._dial(family, address, receiver, loop)
            except OSError:
                if position == len(self._addresses) - 1:
                    raise
            else:
                self._addresses = self._addresses[position:]
                return transport
        msg = f"{self._origin.host} has no address"
        raise OSError(msg)

    async def _dial(
        self, family: socket.AddressFamily, address: tuple[object, ...], receiver: Receiver, loop: asyncio.AbstractEventLoop
    ) -> Transport:
        if self._tls is not None or not KERNEL_STAMPS:
            host = self._origin.host if self._tls is not None else None
            _, transport = await loop.create_connection(
                lambda: LoopTransport(receiver), str(address[0]), self._origin.port, ssl=self._tls, server_hostname=host
            )
            if transport.gone:  # before anybody could be told
                msg = f"{self._origin.host} closed the connection right after it was opened"
                raise ConnectionResetError(msg)
            return transport
        connecting = socket.socket(family, socket.SOCK_STREAM)
        try:
            connecting.settimeout(0)
            await loop.sock_connect(connecting, address)
        except BaseException:
            connecting.close()
            raise
        return SocketTransport(connecting, receiver, self._clock, loop, self._buffer)
