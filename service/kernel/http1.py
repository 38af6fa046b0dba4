"""HTTP/1.1 as the workers speak it: one request at a time on each connection, everything bounded.

It runs on the application's own thread: each hand-over between threads costs a request milliseconds
on a busy machine (decision 0021). llhttp reads what is HTTP; what a client may do with it is
bounded here:

- A request's head is gathered whole, up to `HEAD_MAX_BYTES`, before any of it is read.
- While a request is answered nothing is read of the next one; it waits, and so does its client.
- A body is taken no faster than the application asks for it.
- An offer to speak another protocol (`Upgrade`) is declined by serving the request as it is.
- What a client still has to do has a time, which `kernel/listener.py` looks after.
"""

import asyncio
import re
from math import inf
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import httptools
from litestar.types import HTTPScope

from service.kernel import problems
from service.kernel.exchange import AHEAD_MAX_BYTES, Exchange, head_of
from service.kernel.ids import new_id
from service.kernel.problems import ProblemError
from service.kernel.replies import problem_reply

if TYPE_CHECKING:
    from service.kernel.listener import Listener

HEAD_MAX_BYTES = 16_384
HEADERS_MAX = 100
# A connection on which nothing happens is closed after IDLE_S. A request that has begun must have
# come after ARRIVE_S, and an answer must be taken in that time. After a last answer its client is
# listened to for LINGER_S: a line that is cut while it sends would take the answer with it.
IDLE_S, ARRIVE_S, LINGER_S = 300.0, 30.0, 5.0
# Who takes as much of an answer in ARRIVE_S may go on.
TAKEN_MIN_BYTES = 65_536

_UPGRADE = re.compile(rb"(?i)(?<=\r\n)upgrade(?=:)")


class RefusedError(Exception):
    """What was sent can't be served; the text tells its sender why."""


class Connection(asyncio.Protocol):
    """One connection of a client.

    `due_at`: when its client must have done what it has to do, by the loop's clock. `idle_since`:
    when it was last used, or None while there is a request.
    """

    def __init__(self, listener: "Listener") -> None:
        self.listener = listener
        self.due_at = inf
        self.idle_since: float | None = None
        self.transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._input = b""
        self._exchange: Exchange | None = None
        self._server: Any = None
        self._client: Any = None
        # Nothing more is read but the rest of the request that is being answered.
        self._is_last = False
        # Reading has been stopped; the client doesn't take what is written, and how much that is.
        self._paused = self._full = False
        self._untaken = 0
        self._head_began = False
        # Whether a request has ever come whole: who never sent one goes first where room is short.
        self.was_used = False
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._length = 0
        self._chunked = self._expects = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        sockets = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        self.transport = cast(asyncio.Transport, transport)
        if None in sockets:  # it has gone already
            self.abort()
            return
        self._server, self._client = sockets[0][:2], sockets[1][:2]
        self._rest()
        self.listener.came(self)

    def connection_lost(self, _: Exception | None) -> None:
        """The client has gone. What it has asked for whole is done all the same."""
        self.transport = None
        self.listener.went(self)
        if self._exchange is not None:
            self._exchange.wake()

    def eof_received(self) -> bool:
        """The client has said all; whoever waits for an answer still gets it."""
        self._is_last = True
        if self._exchange is None:
            return False
        self._exchange.wake()
        return self._exchange.arrived

    def pause_writing(self) -> None:
        """The client doesn't take its answer: nothing more is begun for it."""
        self._full, self._untaken = True, self._unsent()
        self._due_in(ARRIVE_S)

    def resume_writing(self) -> None:
        """It has taken it."""
        self._full = False
        if self._exchange is None and not self._is_last:
            self._rest()
            self.resume()

    def data_received(self, data: bytes) -> None:
        """Something came; after the last request it is only listened to."""
        if self._is_last and self._exchange is None:
            return
        self._input += data
        self._read()

    def expire(self) -> None:
        """The client didn't do in time what it had to do; taking an answer slowly is no fault."""
        exchange, unsent = self._exchange, self._unsent()
        if self._full and unsent + TAKEN_MIN_BYTES <= self._untaken:
            self._untaken = unsent
            self._due_in(ARRIVE_S)
        elif self._full:
            self.abort()
        elif exchange is not None and not exchange.answered and not exchange.arrived:
            self._break(exchange)
        elif exchange is None and self._input and not self._is_last:
            self._refuse(f"The head of the request didn't come in {ARRIVE_S:.0f} seconds.")
        elif exchange is None and not self._is_last and not unsent:
            self.close()
        else:
            self.abort()

    def retire(self) -> None:
        """Serve no further request."""
        self._is_last = True
        if self._exchange is None:
            self.close()

    def close(self) -> None:
        """End it when all that was written has been sent."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Cut it."""
        if self.transport is not None:
            self.transport.abort()

    def write(self, data: bytes) -> None:
        """Send; to nobody when the client has gone."""
        if self.transport is not None:
            self.transport.write(data)

    @property
    def is_last(self) -> bool:
        """Whether no request comes after this one."""
        return self._is_last or self.listener.stopping

    def finish(self) -> None:
        """Once a request has come whole and is answered: on to the next one, or to the end."""
        exchange = self._exchange
        if exchange is None or not exchange.answered:
            return
        if exchange.closes:
            self._exchange, self._is_last = None, True
            self._part(exchange.arrived and not self._input)
        elif exchange.arrived:
            self._exchange = None
            self._rest()

    def resume(self) -> None:
        """Read on."""
        if self._paused and self.transport is not None and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()
        if self._input:
            self._read()

    def _rest(self) -> None:
        """Wait for a request, or for the client to take its answer."""
        self._head_began = False
        self.idle_since = self.listener.time()
        self._due_in(ARRIVE_S if self._unsent() else IDLE_S)

    def _due_in(self, seconds: float) -> None:
        self.due_at = self.listener.time() + seconds

    def _unsent(self) -> int:
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def _pause(self) -> None:
        if not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()

    def _part(self, has_all: bool) -> None:
        """End the connection; one whose client still sends is kept until it has read our answer."""
        self._input = b""
        self._due_in(ARRIVE_S if self._unsent() else LINGER_S)
        if has_all:
            self.close()
        elif self.transport is not None and not self.transport.is_closing():
            if self.transport.can_write_eof():  # over TLS it can't be said
                self.transport.write_eof()
            self.resume()

    def _read(self) -> None:
        """Read of what has come as much as may be read now."""
        try:
            while self._input:
                exchange = self._exchange
                if exchange is None:
                    if self._is_last or not self._read_head():
                        return
                elif exchange.arrived or exchange.is_ahead:
                    self._pause()
                    return
                else:
                    self._read_body(exchange)
                    self.finish()  # it may have been answered before it had come
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self._refuse(str(cause) if isinstance(cause, RefusedError) else "This is no request.")
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse("This is no request of HTTP/1.1.")
        except RefusedError as error:
            self._refuse(str(error))

    def _read_head(self) -> bool:
        """Begin with a request; False while its head hasn't come whole, or may not be read."""
        if self._full:
            self._pause()
            return False
        self._input = self._input.lstrip(b"\r\n")
        end = self._input.find(b"\r\n\r\n") + 4
        if end > HEAD_MAX_BYTES or (end < 4 and len(self._input) > HEAD_MAX_BYTES):
            raise RefusedError(f"A request's head has at most {HEAD_MAX_BYTES} bytes.")
        if self._input and not self._head_began:
            self._head_began = True
            self._due_in(ARRIVE_S)
        if end < 4:
            return False
        self.idle_since = None
        head, self._input = self._input[:end], self._input[end:]
        if b"pgrade:" in head.lower():
            head = _UPGRADE.sub(b"x-declined", head)
        self._url, self._headers, self._length = b"", [], 0
        self._chunked = self._expects = False
        self._parser.feed_data(head)
        if self._exchange is None:
            raise RefusedError("Only requests of HTTP/1.1 are served.")
        return True

    def _read_body(self, exchange: "Exchange") -> None:
        """Give the parser what belongs to this body, and no byte of what comes after it."""
        most = AHEAD_MAX_BYTES if self._chunked else min(self._length, AHEAD_MAX_BYTES)
        part, self._input = self._input[:most], self._input[most:]
        if not part:
            raise RefusedError("The body is longer than its length.")
        self._length -= len(part)
        exchange.idle_bytes += len(part)
        self._parser.feed_data(part)
        if exchange.idle_bytes > AHEAD_MAX_BYTES + HEAD_MAX_BYTES:
            raise RefusedError("There is no end to what comes beside the body.")

    # What the parser found.

    def on_message_begin(self) -> None:
        """A request; one that follows another's chunks at once isn't served."""
        if self._exchange is not None:
            raise RefusedError("A request came before the one before was answered.")

    def on_url(self, url: bytes) -> None:
        """The target, in one piece, as its head is."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; what comes after the body is left alone."""
        if self._exchange is not None:
            return
        name, value = name.lower(), value.rstrip(b" \t")
        if name == b"content-length":
            self._length = int(value)
        elif name == b"transfer-encoding":
            if self._chunked or value.lower() != b"chunked":
                raise RefusedError("The only Transfer-Encoding of a request is chunked.")
            self._chunked = True
        elif name == b"expect":
            self._expects = value.lower() == b"100-continue"
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Serve it."""
        scope = self._scope()
        keep_alive = self._parser.should_keep_alive() and scope["http_version"] == "1.1"
        expects = self._expects and scope["http_version"] == "1.1"
        self._exchange = Exchange(self, scope, keep_alive, expects)
        self.listener.serve(self._exchange)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._exchange is not None:
            self._exchange.take(body)

    def on_message_complete(self) -> None:
        """All of it has come: nothing is due of the client any more."""
        if self._exchange is not None:
            self.due_at = inf
            self.was_used = self._exchange.arrived = True
            self._exchange.wake()

    @property
    def has_much_to_come(self) -> bool:
        """Whether more of the body is to come than is worth taking for nothing."""
        return self._chunked or self._length > AHEAD_MAX_BYTES

    def _scope(self) -> HTTPScope:
        version = self._parser.get_http_version()
        method = self._parser.get_method()
        if version not in ("1.1", "1.0") or method == b"CONNECT":
            raise RefusedError("Only requests of HTTP/1.1 are served.")
        if len(self._headers) > HEADERS_MAX:
            raise RefusedError(f"A request has at most {HEADERS_MAX} headers.")
        hosts = [value for name, value in self._headers if name == b"host"]
        if len(hosts) != 1 and (hosts or version == "1.1"):
            raise RefusedError("A request has one Host header.")
        target, path = _target(self._url)
        return cast(
            HTTPScope,
            {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.4"},
                "http_version": version,
                "method": method.decode("ascii"),
                "scheme": self.listener.scheme,
                "path": path,
                "raw_path": target.path,
                "query_string": target.query or b"",
                "root_path": "",
                "headers": self._headers,
                "server": self._server,
                "client": self._client,
                "state": {},
            },
        )

    def _break(self, exchange: "Exchange") -> None:
        """The rest of this request doesn't come; the application tells the client."""
        self._is_last = exchange.broken = True
        self._input = b""
        self._due_in(ARRIVE_S)
        exchange.wake()

    def _refuse(self, text: str) -> None:
        """Answer what is no request, once what came before it has been answered."""
        exchange = self._exchange
        self._is_last, self._input = True, b""
        if exchange is None:
            answer = problem_reply(refusal(text), new_id("req"))
            head = head_of(answer.status, answer.headers, self.listener.date, closes=True)
            self.write(head + answer.body)
            self._part(has_all=False)
        elif exchange.answered:
            self.abort()
        elif not exchange.arrived:
            self._break(exchange)


def refusal(text: str) -> ProblemError:
    """What is told who sent no request."""
    return ProblemError(problems.INVALID_REQUEST, text)


def _target(url: bytes) -> tuple[Any, str]:
    """The parts of the target, and its path as text."""
    try:
        target = httptools.parse_url(url)
        path = target.path.decode("ascii") if target.path else ""
    except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
        target, path = None, ""
    if not path.startswith("/"):
        raise RefusedError("The target of a request is a path.")
    return target, unquote(path) if "%" in path else path
