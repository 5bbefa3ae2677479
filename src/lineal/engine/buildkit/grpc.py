"""gRPC over any two-way stream of bytes, as client and as server: HTTP/2 by `h2`, messages as bytes.

One thread reads; whoever sends does so itself, under the connection's lock. Received data counts against the other
side's window until it is taken, so that a slow reader holds a fast sender back."""

from __future__ import annotations

import base64
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Protocol
from urllib.parse import quote, unquote

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

OK, CANCELLED, UNKNOWN, NOT_FOUND, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 0, 1, 2, 5, 12, 13, 14
_WINDOW = 4 << 20
"""Bytes that the other side may send before they are taken, on one stream."""
_QUIET = 20.0
"""Seconds without a byte until the other side is asked for one; after as many more the connection is given up. While
a build runs, BuildKit asks something every five seconds, so that nothing in between takes the connection for idle."""
_FAREWELL = 1.0
"""Seconds to say that a connection ends, while somebody else may still be sending; and until the other side's last
words have come."""
_LARGEST = 64 << 20
"""Bytes of one message; BuildKit sends at most 16 MiB."""

Metadata = Mapping[str, str]


class Transport(Protocol):
    """Bytes in both directions; one thread receives, others send, one at a time."""

    def receive(self) -> bytes:
        """Some bytes; none when the other side has ended. Raises OSError."""

    def send(self, data: bytes) -> None:
        """All of them. Raises OSError."""

    def close(self) -> None:
        """End both directions, also for the thread that receives."""


class RpcError(Exception):
    """A call that failed: gRPC's status, its message, and its details as they came (a `google.rpc.Status`)."""

    def __init__(self, code: int, message: str, details: bytes = b"") -> None:
        super().__init__(message)
        self.code, self.message, self.details = code, message, details


class ConnectionLost(Exception):
    """The connection ended before the call did."""


class Stream:
    """One call. `metadata` is the other side's; on the server's side it is there from the beginning."""

    def __init__(self, connection: Connection, id: int, metadata: Metadata | None = None) -> None:
        self._connection = connection
        self.id = id
        self.metadata: dict[str, str] = dict(metadata or {})
        self._data: deque[tuple[bytes, int]] = deque()
        self._buffer = bytearray()
        self._ended = False
        self._error: Exception | None = None

    # --- what the connection's reader says, under its lock ---

    def add(self, data: bytes, counted: int) -> None:
        self._data.append((data, counted))

    def end(self, error: Exception | None = None) -> None:
        self._ended = True
        self._error = self._error or error

    # --- for the call's own threads ---

    @property
    def ended(self) -> bool:
        """Whether the other side has said its last."""
        return self._ended

    def send(self, message: bytes) -> None:
        """One message; waits while the other side takes no more. Raises `RpcError` and `ConnectionLost`."""
        self._connection.send(self, struct.pack(">?L", False, len(message)) + message)

    def half_close(self) -> None:
        self._connection.half_close(self)

    def receive(self) -> bytes | None:
        """The next message; None at the end of a call that went well. Raises `RpcError` and `ConnectionLost`."""
        head = self._exactly(5)
        if head is None:
            return None
        compressed, size = struct.unpack(">?L", head)
        if compressed or size > _LARGEST:
            raise RpcError(INTERNAL, f"a message of {size} bytes that cannot be read")
        body = self._exactly(size)
        if body is None:
            raise RpcError(INTERNAL, "a message that is cut short")
        return body

    def messages(self) -> Iterator[bytes]:
        while (message := self.receive()) is not None:
            yield message

    def cancel(self) -> None:
        """Give the call up; whoever waits for it gets an `RpcError`."""
        self._connection.reset(self)

    def _exactly(self, size: int) -> bytes | None:
        while len(self._buffer) < size:
            with self._connection.changed:
                while not self._data and not self._ended:
                    self._connection.changed.wait()
                if not self._data:
                    if self._error is not None:
                        raise self._error
                    if self._buffer:
                        raise RpcError(INTERNAL, "a message that is cut short")
                    return None
                data, counted = self._data.popleft()
            self._buffer += data
            self._connection.taken(self, counted)
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


Handler = Callable[[Stream], None]
"""Serves one call: takes its messages and sends the answers. An exception ends the call with its status."""


class Connection:
    """Either side of an HTTP/2 connection. `handlers` makes it a server: path of a method -> what serves it."""

    def __init__(
        self, transport: Transport, authority: str = "localhost", handlers: Mapping[str, Handler] | None = None
    ) -> None:
        self._transport = transport
        self._authority = authority
        self._handlers = handlers
        self._streams: dict[int, Stream] = {}
        self._lost: Exception | None = None
        self._heard, self._silent = True, False
        self._closed = threading.Event()
        self.changed = threading.Condition(threading.RLock())
        config = h2.config.H2Configuration(client_side=handlers is None, header_encoding="utf-8")
        self._h2 = h2.connection.H2Connection(config)
        self._h2.local_settings = h2.settings.Settings(
            client=handlers is None,
            initial_values={
                h2.settings.SettingCodes.ENABLE_PUSH: 0,
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW,
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 256,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 1 << 20,
            }
            if handlers is None
            else {
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW,
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 256,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 1 << 20,
            },
        )
        with self.changed:
            self._h2.initiate_connection()
            self._h2.increment_flow_control_window(16 * _WINDOW)
            self._reader = threading.Thread(target=self._read, daemon=True)
            self._reader.start()
            self._flush()
        if handlers is None:
            threading.Thread(target=self._watch, daemon=True).start()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        # A sender has the lock as long as the other side takes nothing.
        if self.changed.acquire(timeout=_FAREWELL):
            with suppress(h2.exceptions.ProtocolError, ConnectionLost):
                self._h2.close_connection()
                self._flush()
            # Who sends next is told so here, and not by h2 in its way.
            self._end(ConnectionLost("it was closed"))
            self.changed.release()
        self._transport.close()
        self._end(ConnectionLost("it was closed"))

    # --- calls ---

    def open(self, path: str, metadata: Iterator[tuple[str, str]] | list[tuple[str, str]] = []) -> Stream:  # noqa: B006
        """A call of any kind."""
        headers = [
            (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", self._authority),
            ("content-type", "application/grpc"), ("te", "trailers"), *metadata,
        ]  # fmt: skip
        with self.changed:
            self._check()
            stream = Stream(self, self._h2.get_next_available_stream_id())
            self._streams[stream.id] = stream
            self._h2.send_headers(stream.id, headers)
            self._flush()
        return stream

    def call(self, path: str, message: bytes, metadata: list[tuple[str, str]] = []) -> bytes:  # noqa: B006
        """One message there, one back. Raises `RpcError` and `ConnectionLost`."""
        return answer(self.ask(path, message, metadata))

    def ask(self, path: str, message: bytes, metadata: list[tuple[str, str]] = []) -> Stream:  # noqa: B006
        """A call of one message, whose answers are to be received."""
        stream = self.open(path, metadata)
        # Who has answered without taking all of it says how the call ended: its answer is there to be received.
        with suppress(RpcError):
            stream.send(message)
            stream.half_close()
        return stream

    # --- for streams ---

    def send(self, stream: Stream, data: bytes) -> None:
        rest = memoryview(data)
        with self.changed:
            while rest:
                self._check_open(stream)
                size = min(self._h2.local_flow_control_window(stream.id), self._h2.max_outbound_frame_size, len(rest))
                if size <= 0:
                    self._flush()
                    self.changed.wait()
                    continue
                self._h2.send_data(stream.id, bytes(rest[:size]))
                rest = rest[size:]
            self._flush()

    def half_close(self, stream: Stream) -> None:
        with self.changed:
            self._check_open(stream)
            self._h2.end_stream(stream.id)
            self._flush()

    def taken(self, stream: Stream, counted: int) -> None:
        with self.changed:
            if counted and self._lost is None:
                with suppress(h2.exceptions.ProtocolError):
                    self._h2.acknowledge_received_data(counted, stream.id)
                with suppress(ConnectionLost):
                    self._flush()

    def reset(self, stream: Stream) -> None:
        with self.changed:
            if not stream._ended and self._lost is None:
                with suppress(h2.exceptions.ProtocolError):
                    self._h2.reset_stream(stream.id, h2.errors.ErrorCodes.CANCEL)
                with suppress(ConnectionLost):
                    self._flush()
            stream.end(RpcError(CANCELLED, "the call was given up"))
            self._streams.pop(stream.id, None)
            self.changed.notify_all()

    def _check(self) -> None:
        if self._lost is not None:
            raise self._lost

    def _check_open(self, stream: Stream) -> None:
        self._check()
        if stream.id not in self._streams:
            raise stream._error or RpcError(CANCELLED, "the other side has ended the call")

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data:
            try:
                self._transport.send(data)
            except (OSError, RpcError) as error:
                # A program that failed says why before its end, and only the reader hears it.
                if threading.current_thread() is not self._reader:
                    self.changed.wait_for(lambda: self._lost is not None, _FAREWELL)
                    self._end(ConnectionLost(str(error)))
                self._check()
                raise ConnectionLost(str(error)) from error

    # --- the reader ---

    def _read(self) -> None:
        error: Exception = ConnectionLost("the other side has ended it")
        try:
            while data := self._transport.receive():
                self._heard = True
                with self.changed:
                    for event in self._h2.receive_data(data):
                        self._handle(event)
                    with suppress(ConnectionLost):
                        self._flush()
                    self.changed.notify_all()
        except (OSError, h2.exceptions.ProtocolError, ConnectionLost, RpcError) as caught:
            error = ConnectionLost(str(caught))
            error.__cause__ = caught
        self._transport.close()
        self._end(error)

    def _watch(self) -> None:
        """Notice that nobody is there any more: a machine that is gone says nothing, and a proxy may not say it."""
        asked = False
        while not self._closed.wait(_QUIET):
            if self._heard:
                self._heard = asked = False
            elif not asked:
                asked = True
                # By itself, as it may have to wait.
                threading.Thread(target=self._ping, daemon=True).start()
            else:
                self._silent = True
                self._transport.close()
                return

    def _ping(self) -> None:
        with self.changed, suppress(h2.exceptions.ProtocolError, ConnectionLost):
            self._h2.ping(bytes(8))
            self._flush()

    def _end(self, error: Exception) -> None:
        self._closed.set()
        if self._silent:
            error = ConnectionLost(f"nothing came from it for {2 * _QUIET:.0f} seconds")
        with self.changed:
            self._lost = self._lost or error
            for stream in self._streams.values():
                stream.end(self._lost)
            self._streams.clear()
            self.changed.notify_all()

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self._serve(event)
        elif isinstance(event, h2.events.DataReceived):
            stream = self._streams.get(event.stream_id)
            if stream is None:
                with suppress(h2.exceptions.ProtocolError):
                    self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            else:
                stream.add(event.data, event.flow_controlled_length)
        elif isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                stream.metadata |= {_text(name): _text(value) for name, value in event.headers}
        elif isinstance(event, h2.events.StreamEnded):
            self._ended(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            stream = self._streams.pop(event.stream_id, None)
            if stream is not None:
                stream.end(RpcError(CANCELLED, "the other side has given the call up"))

    def _ended(self, id: int) -> None:
        stream = self._streams.get(id)
        if stream is None:
            return
        if self._handlers is not None:
            stream.end()
            return
        del self._streams[id]
        status = stream.metadata.get("grpc-status", str(UNKNOWN))
        if status == "0":
            stream.end()
            return
        http = stream.metadata.get(":status", "200")
        message = unquote(stream.metadata.get("grpc-message", "" if http == "200" else f"HTTP status {http}"))
        details = stream.metadata.get("grpc-status-details-bin", "")
        code = int(status) if status.isdecimal() else UNKNOWN
        stream.end(RpcError(code, message, base64.b64decode(details + "=" * (-len(details) % 4))))

    # --- the server's side ---

    def _serve(self, event: h2.events.RequestReceived) -> None:
        headers = {_text(name): _text(value) for name, value in event.headers}
        stream = Stream(self, event.stream_id, headers)
        self._streams[stream.id] = stream
        handler = (self._handlers or {}).get(headers.get(":path", ""))
        threading.Thread(target=self._run, args=(stream, handler), daemon=True).start()

    def _run(self, stream: Stream, handler: Handler | None) -> None:
        status: list[tuple[str, str]] = [("grpc-status", "0")]
        try:
            self._headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
            if handler is None:
                raise RpcError(UNIMPLEMENTED, "there is no such method")
            handler(stream)
        except RpcError as error:
            status = [("grpc-status", str(error.code)), ("grpc-message", quote(error.message))]
        except ConnectionLost:
            return
        except Exception as error:  # noqa: BLE001 (the daemon is told, and its call fails)
            status = [("grpc-status", str(UNKNOWN)), ("grpc-message", quote(str(error)))]
        with suppress(ConnectionLost, h2.exceptions.ProtocolError):
            self._headers(stream, status, end=True)
        with self.changed:
            self._streams.pop(stream.id, None)

    def _headers(self, stream: Stream, headers: list[tuple[str, str]], end: bool = False) -> None:
        with self.changed:
            self._check()
            self._h2.send_headers(stream.id, headers, end_stream=end)
            self._flush()


def answer(stream: Stream) -> bytes:
    """The one answer of a call. Raises `RpcError` and `ConnectionLost`."""
    message = stream.receive()
    if message is None:
        raise RpcError(INTERNAL, "there is no answer")
    while stream.receive() is not None:
        pass
    return message


def unary(serve: Callable[[bytes], bytes]) -> Handler:
    """A handler of calls with one message there and one back."""

    def handle(stream: Stream) -> None:
        stream.send(serve(stream.receive() or b""))

    return handle


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
