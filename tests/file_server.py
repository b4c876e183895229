"""A web server on this machine that gives one file, and breaks down as told."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """What it gives, and how; tests change it between requests."""

    content: bytes
    etag: str | None = '"one"'
    modified: str | None = None
    ranges: bool = True
    length: bool = True
    slow: float = 0.0  # seconds a MiB
    cuts: list[int] = field(default_factory=list)  # bytes after which the next answers break off
    answers: list[int] = field(default_factory=list)  # statuses of the next answers
    redirects: dict[str, str] = field(default_factory=dict)
    port: int = 0
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def url(self, name: str = "weights.pth") -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    @property
    def ranges_asked(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.asked]

    @contextmanager
    def running(self) -> Iterator[FileServer]:
        server = _Server(("127.0.0.1", self.port), type("Handler", (_Handler,), {"files": self}))
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    files: FileServer

    def do_GET(self) -> None:
        files = self.files
        files.asked.append((self.path, dict(self.headers)))
        if self.path in files.redirects:
            self._answer(302, {"Location": files.redirects[self.path]})
        elif files.answers:
            self._answer(files.answers.pop(0), {})
        else:
            self._give()

    def _give(self) -> None:
        files = self.files
        content, validators = files.content, {"ETag": files.etag, "Last-Modified": files.modified}
        status, first, headers = 200, 0, {name: value for name, value in validators.items() if value}
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in {None, *(headers.values())}
        if asked and files.ranges and same:
            first = int(asked[1])
            if first >= len(content):
                return self._answer(416, {"Content-Range": f"bytes */{len(content)}"})
            status, headers["Content-Range"] = 206, f"bytes {first}-{len(content) - 1}/{len(content)}"
        body = content[first:]
        if files.length:
            headers["Content-Length"] = str(len(body))
        self._answer(status, headers)
        cut = files.cuts.pop(0) if files.cuts else len(body)
        for start in range(0, min(cut, len(body)), 1 << 16):
            self.wfile.write(body[start : min(start + (1 << 16), cut)])
            time.sleep(files.slow / 16)
        self.close_connection = True
        return None

    def _answer(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass
