"""Large files over HTTP: resumed, checked, and never half there under their own name."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import os
import re
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from starnet.atomic import NO_ROOM
from starnet.errors import StarnetError

Progress = Callable[[str, int, int], None]

_CHUNK = 1 << 20  # bytes
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # what a server answers that may be better in a moment
_UNREACHABLE = {errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL}


def download(
    url: str,
    path: str | Path,
    *,
    sha256: str,
    size: int | None = None,
    replace: bool = False,
    progress: Progress | None = None,
    retries: int = 5,
    pause: float = 1.0,
    timeout: float = 30.0,
) -> None:
    """Download a file whose checksum is known, going on where an earlier attempt stopped.

    The bytes go to ``path.partial``, which takes its place once its checksum is right. Whoever comes second while a
    download of the same file runs waits for it.

    Parameters
    ----------
    url : str
        With http or https. Redirections are followed; proxies are taken from the environment.
    path : str or Path
        The file; its folder is made if missing. If it is there and its checksum is right, nothing is downloaded.
    sha256 : str
        Checksum that the file must have, in hexadecimal.
    size : int, optional
        Bytes that it must have.
    replace : bool
        Replace a file that is there.
    progress : callable, optional
        Called with stage, bytes done, bytes in all.
    retries : int
        Failures in a row, without getting further, after which it gives up.
    pause : float
        Seconds to wait after the first of them; doubled each time.
    timeout : float
        Seconds without a byte that count as a failure.

    Raises
    ------
    StarnetError
        If it cannot be had. What has been downloaded is kept for the next attempt, unless its checksum is wrong.
    """
    path = Path(path)
    if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
        raise StarnetError(f"{url} is no web address: it must begin with https:// or http://")
    with _sentences(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            if path.exists() and not replace:
                found = _checksum(path, progress)
                if found != sha256:
                    raise StarnetError(
                        f"{path} is another file than the one wanted (its SHA-256 is {found}, not {sha256}): move it "
                        "away, or replace it with --force"
                    )
            else:
                transfer = _Transfer(url, path, size, progress, timeout)
                _verified(transfer, sha256, retries, pause, progress)
                transfer.partial.replace(path)
                transfer.validator.unlink(missing_ok=True)
            marker_of(path).write_text(f"{sha256}  {path.name}\n", encoding="utf-8")


def partial_of(path: Path) -> Path:
    """Where a download's bytes are until it is finished."""
    return path.with_name(path.name + ".partial")


def marker_of(path: Path) -> Path:
    """The note that a file's checksum was right, which ``sha256sum --check`` reads too."""
    return path.with_name(path.name + ".sha256")


def is_verified(path: Path, sha256: str) -> bool:
    """Whether a file has not been written since its checksum was found right."""
    try:
        marked = marker_of(path).read_text(encoding="utf-8").split()[:1] == [sha256]
        return marked and marker_of(path).stat().st_mtime_ns >= path.stat().st_mtime_ns
    except OSError:
        return False


class _DroppedError(Exception):
    """A failure that may not happen again."""


class _Transfer:
    """A file that is being downloaded: what there is of it, and one request after the other for the rest."""

    def __init__(self, url: str, path: Path, size: int | None, progress: Progress | None, timeout: float) -> None:
        self.url, self.path, self.size, self.progress, self.timeout = url, path, size, progress, timeout
        self.partial = partial_of(path)
        # URL and ETag, or date, of the file that the partial one is a part of.
        self.validator = self.partial.with_name(self.partial.name + ".etag")
        self.reached = False
        self.resumed = False

    @property
    def done(self) -> int:
        """Bytes that are there."""
        return self.partial.stat().st_size if self.partial.exists() else 0

    def discard(self) -> None:
        """Forget what is there."""
        self.partial.unlink(missing_ok=True)
        self.validator.unlink(missing_ok=True)

    def run(self, retries: int, pause: float) -> None:
        """Request the rest until all is there."""
        failures, furthest = 0, self.done
        while True:
            try:
                return self._request()
            except _DroppedError as error:
                # Where a server ignores ranges each attempt begins anew: getting as far as before is no gain.
                failures = 1 if self.done > furthest else failures + 1
                furthest = max(furthest, self.done)
                if failures >= retries:
                    raise StarnetError(
                        f"{self.url} could not be downloaded ({error}, {failures} times in a row); {self.done} bytes "
                        "are kept: run again to go on"
                    ) from error
                time.sleep(pause * 2 ** (failures - 1))

    def _request(self) -> None:
        done = self.done
        if done == self.size:
            self.resumed = True
            return
        if self.size is not None and done > self.size:
            self.discard()
            done = 0
        headers = {"User-Agent": "starnet", "Accept-Encoding": "identity"}
        if done:
            headers["Range"] = f"bytes={done}-"
            if validator := self._known_validator():
                headers["If-Range"] = validator
        try:
            response = _opener().open(urllib.request.Request(self.url, headers=headers), timeout=self.timeout)
        except urllib.error.HTTPError as error:
            with error:
                if self._refused(error, done):
                    return
        except (OSError, http.client.HTTPException) as error:
            self._failed(error)
        else:
            with response:
                self.reached = True
                self._receive(response, done)

    def _receive(self, response: http.client.HTTPResponse, done: int) -> None:
        total = response.length
        if response.status == 206:
            given = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
            if given is None or int(given[1]) != done:
                self.discard()
                raise _DroppedError("the server gave another part than the one asked for")
            total = None if given[2] == "*" else int(given[2])
            self.resumed = True
        else:
            done = 0
        if self.size is not None and total is not None and total != self.size:
            raise StarnetError(
                f"{self.url} has {total} bytes where {self.size} are expected: it is another file; give the right "
                "address with --url"
            )
        total = self.size if total is None else total
        self._check_space((total or 0) - done)
        with self.partial.open("ab" if done else "wb", buffering=0) as file:
            if not done:
                # Only now is nothing left of another file that this could be taken for a part of.
                self._keep_validator(response)
            while chunk := self._read(response):
                file.write(chunk)
                done += len(chunk)
                if self.progress is not None:
                    self.progress(self.path.name, done, total or done)
                if total is not None and done > total:
                    break  # of a server that does not say how much it sends
            os.fsync(file.fileno())
        if total is not None and done < total:
            raise _DroppedError("the connection ended early")

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        try:
            return response.read1(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _DroppedError(_reason(error)) from error

    def _refused(self, error: urllib.error.HTTPError, done: int) -> bool:
        """Whether, in spite of the error, all is there."""
        self.reached = True
        status = f"{error.code} {error.reason}".strip()
        if error.code == 416:
            if error.headers.get("Content-Range") == f"bytes */{done}" and self.size is None:
                self.resumed = True
                return True
            self.discard()
            raise _DroppedError("the file there is shorter than what had been downloaded")
        if error.code in _PASSING:
            raise _DroppedError(f"the server answered {status}")
        if 300 <= error.code < 400:
            raise StarnetError(f"{self.url} leads in a circle, or to what is no web address: give another with --url")
        what = "is not there" if error.code in {404, 410} else "cannot be had"
        raise StarnetError(f"{self.url} {what} (the server answered {status}): give another address with --url")

    def _failed(self, error: Exception) -> None:
        """Raise: at once what will not pass."""
        reason = getattr(error, "reason", error)
        host = urllib.parse.urlsplit(self.url).netloc
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise StarnetError(
                f"{host} shows a certificate that is not trusted ({reason.verify_message}): check the clock and the "
                "proxy, or give another address with --url"
            ) from error
        if isinstance(error, http.client.InvalidURL):
            raise StarnetError(f"{self.url} is no web address ({error}): give another with --url") from error
        unreachable = isinstance(reason, socket.gaierror) or getattr(reason, "errno", None) in _UNREACHABLE
        if not self.reached and (unreachable or not isinstance(reason, Exception)):
            raise StarnetError(
                f"{host or self.url} cannot be reached ({_reason(error)}): check the network, or give another address "
                "with --url"
            ) from error
        raise _DroppedError(_reason(error)) from error

    def _check_space(self, wanted: int) -> None:
        if (free := shutil.disk_usage(self.path.parent).free) < wanted:
            raise StarnetError(
                f"{self.path} needs {wanted / 1e6:.0f} MB more, and {free / 1e6:.0f} MB are free: free disk space, or "
                "choose another folder"
            )

    def _known_validator(self) -> str | None:
        try:
            url, _, validator = self.validator.read_text(encoding="utf-8").partition("\n")
        except OSError:
            return None
        return validator if url == self.url else None

    def _keep_validator(self, response: http.client.HTTPResponse) -> None:
        etag = response.headers.get("ETag", "W/")
        # If-Range takes no weak ETag (RFC 9110, 13.1.5).
        validator = response.headers.get("Last-Modified") if etag.startswith("W/") else etag
        if validator:
            self.validator.write_text(f"{self.url}\n{validator}", encoding="utf-8")
        else:
            self.validator.unlink(missing_ok=True)


def _verified(transfer: _Transfer, sha256: str, retries: int, pause: float, progress: Progress | None) -> None:
    """Download until the checksum is right; parts that do not belong together get a second try, from the beginning."""
    while True:
        transfer.run(retries, pause)
        resumed = transfer.resumed
        found = _checksum(transfer.partial, progress)
        if found == sha256:
            return
        transfer.discard()
        transfer.resumed = False
        if not resumed:
            raise StarnetError(
                f"{transfer.url} has other bytes than expected (their SHA-256 is {found}, not {sha256}); they were "
                "removed: run again, or give another address with --url"
            )


def _checksum(path: Path, progress: Progress | None) -> str:
    digest, done, size = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            if progress is not None:
                progress("checksum", done, size)
    return digest.hexdigest()


def _opener() -> urllib.request.OpenerDirector:
    """One that knows http and https alone: urllib's own would follow a redirection to ftp."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait for whoever else downloads this file; a process that dies gives its lock up."""
    lock = path.with_name(path.name + ".lock")
    while True:
        with lock.open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            # The one before has removed the file that was waited for: its lock keeps nobody out any more.
            try:
                current = os.path.samestat(lock.stat(), os.fstat(handle.fileno()))
            except FileNotFoundError:
                current = False
            if not current:
                continue
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """Say what the file system refuses; the network's errors do not come this far."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in NO_ROOM:
            raise StarnetError(
                f"{path} could not be written ({reason}); what has come is kept: free disk space and run again"
            ) from error
        raise StarnetError(f"{path} could not be written ({reason}): choose a folder that is writable") from error
