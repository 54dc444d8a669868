"""A web server that serves a folder as TLC's CDN does, and misbehaves when told to."""

import fcntl
import hashlib
import io
import re
import socket
import struct
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

_SIOCOUTQ = 0x5411  # Linux: bytes sent that the other side has not acknowledged
_FORBIDDEN = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'
_HTML = b"<!DOCTYPE html><html><body>Please log in to the hotel's network</body></html>" * 9


@dataclass(frozen=True)
class Behaviour:
    """What the server does with one request; nothing set means: serve the file properly."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cut_after: int | None = None
    ending: str = "close"  # of a cut body: close, reset, stall or trickle
    ignore_range: bool = False
    new_bytes: bytes | None = None


def status(code: int, **headers: str) -> Behaviour:
    """Answer with this status; `Retry_After="1"` becomes the header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Behaviour(status=code, headers=named, body=b"scripted")


def with_headers(**headers: str) -> Behaviour:
    """Serve the file with these headers changed; an empty one is left out."""
    return Behaviour(headers={name.replace("_", "-"): value for name, value in headers.items()})


def drop() -> Behaviour:
    """Hang up without an answer."""
    return Behaviour(status=0)


def reset(after: int) -> Behaviour:
    """Reset the connection after so many bytes of the body."""
    return Behaviour(cut_after=after, ending="reset")


def close_early(after: int) -> Behaviour:
    """Announce the full length, and hang up politely after so many bytes."""
    return Behaviour(cut_after=after, ending="close")


def stall(after: int) -> Behaviour:
    """Send so many bytes and then nothing more, with the connection open."""
    return Behaviour(cut_after=after, ending="stall")


def trickle(after: int) -> Behaviour:
    """Send so many bytes, and then one at a time, without an end."""
    return Behaviour(cut_after=after, ending="trickle")


def html() -> Behaviour:
    """Send a web page with status 200."""
    return Behaviour(status=200, headers={"Content-Type": "text/html"}, body=_HTML)


def ignore_range() -> Behaviour:
    """Send the whole file whatever Range says."""
    return Behaviour(ignore_range=True)


def republish(new_bytes: bytes, then: Behaviour | None = None) -> Behaviour:
    """Replace the file at the origin, then go on as told."""
    return Behaviour(**{**vars(then or Behaviour()), "new_bytes": new_bytes})


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.path.partition("?")[0].rpartition("/")[2]


class Cdn:
    """The server: `url` is a source, `folder` its content, `requests` what was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[Request] = []
        self.forbid_all = False
        self.closing = threading.Event()
        self._scripts: dict[tuple[str, str], list[Behaviour]] = defaultdict(list)
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"cdn": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}/trip-data"

    def script(self, name: str, behaviours: list[Behaviour], method: str = "GET") -> None:
        """Set what the next requests for a file meet, one after the other; then all is normal."""
        self._scripts[method, name] = list(behaviours)

    def asked(self, method: str | None = None, name: str | None = None) -> list[Request]:
        """Return the recorded requests, of one method or for one file when given."""
        return [
            request
            for request in self.requests
            if method in (None, request.method) and name in (None, request.name)
        ]

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def record(self, request: Request) -> Behaviour:
        with self._lock:
            self.requests.append(request)
            script = self._scripts[request.method, request.name]
            return script.pop(0) if script else Behaviour()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        # Clients that hang up are what the tests are about; anything else is a bug of ours.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    cdn: Cdn
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, self.path, dict(self.headers))
        behaviour = self.cdn.record(request)
        path = self.cdn.folder / request.name
        if behaviour.new_bytes is not None:
            path.write_bytes(behaviour.new_bytes)
        if behaviour.status == 0:
            self.close_connection = True
        elif behaviour.status is not None:
            self._send(behaviour.status, behaviour.headers, behaviour.body or b"", behaviour)
        elif self.cdn.forbid_all or not path.is_file():
            self._send(403, {"Content-Type": "application/xml"}, _FORBIDDEN, behaviour)
        else:
            self._serve(path, behaviour)

    do_HEAD = do_GET = do_POST = _answer

    def _serve(self, path: Path, behaviour: Behaviour) -> None:
        content = path.read_bytes()
        headers = {
            "ETag": f'"{hashlib.md5(content).hexdigest()}"',
            "Last-Modified": formatdate(path.stat().st_mtime, usegmt=True),
            "Content-Type": "binary/octet-stream",
            **behaviour.headers,
        }
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range", headers["ETag"]) == headers["ETag"]
        if not wanted or not same or behaviour.ignore_range:
            self._send(200, headers, content, behaviour)
        elif (start := int(wanted[1])) >= len(content):
            self._send(416, {"Content-Range": f"bytes */{len(content)}"}, b"", behaviour)
        else:
            content_range = f"bytes {start}-{len(content) - 1}/{len(content)}"
            headers = {"Content-Range": content_range, **headers}
            self._send(206, headers, content[start:], behaviour)

    def _send(
        self, code: int, headers: Mapping[str, str], body: bytes, behaviour: Behaviour
    ) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body[: behaviour.cut_after])
        if behaviour.cut_after is not None:
            self._break_off(behaviour.ending, body[behaviour.cut_after :])

    def _break_off(self, ending: str, rest: bytes) -> None:
        self.close_connection = True
        if ending == "trickle":
            with suppress(ConnectionError):
                for byte in rest:
                    self.wfile.write(bytes([byte]))
                    if self.cdn.closing.wait(0.01):
                        break
        if ending == "stall":
            self.cdn.closing.wait(30)
        elif ending == "reset":
            self._wait_until_received()
            linger_off = struct.pack("ii", 1, 0)  # closing now sends RST
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_off)
            self.connection.shutdown(socket.SHUT_RD)
            self.rfile.close()
            self.wfile.close()
            self.wfile = io.BytesIO()  # http.server flushes once more
            self.connection.close()

    def _wait_until_received(self) -> None:
        # A reset throws away what is not sent yet: tests need to know how much arrived.
        waiting = b"\1"
        while any(waiting):
            waiting = fcntl.ioctl(self.connection.fileno(), _SIOCOUTQ, b"\0" * 4)
            time.sleep(0.001)


@pytest.fixture
def cdn(tmp_path: Path) -> Iterator[Cdn]:
    folder = tmp_path / "origin"
    folder.mkdir()
    server = Cdn(folder)
    yield server
    server.close()
