"""Downloads from a server on this machine, which breaks down in every way; the cache folder."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from file_server import FileServer
from starnet.errors import StarnetError
from starnet.networks import NETWORKS
from starnet.weights import KNOWN, Weights, cache_folder, download, fetch, find_weights, state

CONTENT = random.Random(0).randbytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer(CONTENT).running() as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "weights.pth"


def get(server: FileServer, path: Path, **options: object) -> None:
    options = {"sha256": SHA256, "size": len(CONTENT), "pause": 0.01, "timeout": 5.0, **options}
    download(server.url(), path, **options)  # type: ignore[arg-type]


def whole(path: Path) -> bool:
    """Whether the file is right, and nothing but the note that it is lies beside it."""
    names = {one.name for one in path.parent.iterdir()}
    return path.read_bytes() == CONTENT and names == {path.name, f"{path.name}.sha256"}


def partial(path: Path, content: bytes) -> None:
    """What an earlier attempt has left."""
    path.parent.mkdir()
    path.with_name("weights.pth.partial").write_bytes(content)


def test_a_fresh_download(server: FileServer, path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    get(server, path, progress=lambda *step: seen.append(step))
    assert whole(path)
    done = [done for stage, done, _ in seen if stage == "weights.pth"]
    assert done == sorted(done)
    assert done[-1] == len(CONTENT)
    assert {total for _, _, total in seen} == {len(CONTENT)}
    subprocess.run(["sha256sum", "--check", "--quiet", "weights.pth.sha256"], cwd=path.parent, check=True)


def test_what_is_there_is_not_downloaded_again_unless_told(server: FileServer, path: Path) -> None:
    for replace, requests in ((False, 1), (False, 1), (True, 2)):
        get(server, path, replace=replace)
        assert len(server.asked) == requests
    assert whole(path)


def test_another_file_of_that_name_stays_unless_told(server: FileServer, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"mine")
    with pytest.raises(StarnetError, match=r"weights\.pth is another file .* --force"):
        get(server, path)
    assert path.read_bytes() == b"mine"
    get(server, path, replace=True)
    assert whole(path)


@pytest.mark.parametrize("etag", ['"one"', None])
def test_broken_connections_are_resumed(server: FileServer, path: Path, etag: str | None) -> None:
    server.etag, server.cuts = etag, [1_000_000, 200_000, 0]
    get(server, path)
    assert whole(path)
    assert server.ranges_asked == [None, "bytes=1000000-", "bytes=1200000-", "bytes=1200000-"]
    assert [headers.get("If-Range") for _, headers in server.asked] == [None, etag, etag, etag]


def test_a_date_does_where_there_is_no_strong_etag(server: FileServer, path: Path) -> None:
    server.etag, server.modified, server.cuts = 'W/"one"', "Tue, 04 Apr 2023 00:00:00 GMT", [1_000_000]
    get(server, path)
    assert whole(path)
    assert server.asked[1][1]["If-Range"] == server.modified


def test_a_connection_that_falls_silent_is_left(server: FileServer, path: Path) -> None:
    server.slow, server.cuts = 16.0, [1 << 16]  # a second of silence after the first part
    with pytest.raises(StarnetError, match="timed out"):
        get(server, path, timeout=0.2, retries=1)


def test_a_file_that_has_changed_is_begun_anew(server: FileServer, path: Path) -> None:
    old = bytes(len(CONTENT))
    server.content, server.cuts = old, [1_000_000]
    with pytest.raises(StarnetError, match="1000000 bytes are kept"):
        get(server, path, retries=1)
    server.content, server.etag = CONTENT, '"two"'
    get(server, path)
    assert whole(path)
    assert server.ranges_asked == [None, "bytes=1000000-"]


def test_a_file_that_has_changed_unnoticed_is_begun_anew(server: FileServer, path: Path) -> None:
    partial(path, bytes(1_000_000))
    get(server, path)
    assert whole(path)
    assert server.ranges_asked == ["bytes=1000000-", None]


def test_a_part_of_another_address_is_no_part_by_its_etag(server: FileServer, path: Path) -> None:
    server.cuts = [1_000_000]
    with pytest.raises(StarnetError):
        get(server, path, retries=1)
    download(server.url("mirror"), path, sha256=SHA256, size=len(CONTENT))
    assert whole(path)
    assert server.asked[1][1].get("If-Range") is None


def test_a_server_without_ranges(server: FileServer, path: Path) -> None:
    server.ranges, server.cuts = False, [1_000_000]
    get(server, path)
    assert whole(path)
    server.cuts = [1_000_000] * 10
    with pytest.raises(StarnetError, match="3 times in a row"):
        get(server, path, replace=True, retries=3)
    assert path.read_bytes() == CONTENT
    assert path.with_name("weights.pth.partial").stat().st_size == 1_000_000


def test_a_server_that_does_not_say_how_much_it_sends(server: FileServer, path: Path) -> None:
    server.length, server.cuts = False, [1_000_000]
    get(server, path)
    assert whole(path)
    server.content = CONTENT + CONTENT
    with pytest.raises(StarnetError, match="other bytes than expected"):
        get(server, path, replace=True)
    assert whole(path)


@pytest.mark.parametrize("size", [len(CONTENT), None])
@pytest.mark.parametrize("content", [CONTENT, bytes(len(CONTENT)), CONTENT + b"more"])
def test_a_part_that_is_no_part(server: FileServer, path: Path, content: bytes, size: int | None) -> None:
    """All of it, as much but other bytes, or more: where the size is unknown the server answers 416."""
    partial(path, content)
    get(server, path, size=size)
    assert whole(path)
    right = content == CONTENT
    assert len(server.asked) == (0 if right and size else 1 if right or size else 2)


def test_416_again_and_again(server: FileServer, path: Path) -> None:
    server.answers = [416] * 10
    partial(path, CONTENT[:1000])
    with pytest.raises(StarnetError, match="3 times in a row"):
        get(server, path, retries=3)


def test_a_wrong_checksum(server: FileServer, path: Path) -> None:
    server.content = bytes(len(CONTENT))
    with pytest.raises(StarnetError, match=r"other bytes than expected .* they were removed"):
        get(server, path)
    assert not list(path.parent.iterdir())


def test_another_size_is_known_before_anything_comes(server: FileServer, path: Path) -> None:
    with pytest.raises(StarnetError, match="has 3000000 bytes where 12 are expected"):
        get(server, path, size=12)
    assert not list(path.parent.iterdir())


def test_redirects(server: FileServer, path: Path) -> None:
    server.redirects = {
        "/weights.pth": "/there",
        "/there": server.url("real"),
        "/round": "/round",
        "/file": "file:///x",
    }
    server.cuts = [1_000_000]
    get(server, path)
    assert whole(path)
    assert server.asked[-1][0] == "/real"
    assert server.asked[-1][1]["Range"] == "bytes=1000000-"
    for name in ("round", "file"):
        with pytest.raises(StarnetError, match=f"{name} leads in a circle, or to what is no web address"):
            download(server.url(name), path, sha256=SHA256, replace=True)


@pytest.mark.parametrize(("status", "words"), [(404, "is not there"), (403, "cannot be had"), (400, "cannot be had")])
def test_refusals(server: FileServer, path: Path, status: int, words: str) -> None:
    server.answers = [status]
    with pytest.raises(StarnetError, match=rf"{words} \(the server answered {status} .*--url"):
        get(server, path)
    assert len(server.asked) == 1


def test_what_passes_is_tried_again(server: FileServer, path: Path) -> None:
    server.answers = [503, 500, 429]
    get(server, path)
    assert whole(path)
    server.answers = [503] * 10
    with pytest.raises(StarnetError, match=r"the server answered 503 .*, 2 times in a row"):
        get(server, path, replace=True, retries=2)


def test_no_network(path: Path) -> None:
    with socket.socket() as held:  # bound, and nobody listens
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/weights.pth"
        with pytest.raises(StarnetError, match=r"127\.0\.0\.1:\d+ cannot be reached \(Connection refused\)"):
            download(url, path, sha256=SHA256)
    with pytest.raises(StarnetError, match=r"nowhere\.invalid cannot be reached"):
        download("https://nowhere.invalid/weights.pth", path, sha256=SHA256)


@pytest.mark.parametrize("url", ["file:///x", "weights.pth", "ftp://127.0.0.1/x", "http://", "http://127.0.0.1:port/x"])
def test_what_is_no_web_address(path: Path, url: str) -> None:
    with pytest.raises(StarnetError, match=r"is no web address|cannot be reached"):
        download(url, path, sha256=SHA256)


def test_a_server_that_comes_back(path: Path) -> None:
    server = FileServer(CONTENT, cuts=[1_000_000])
    with server.running(), pytest.raises(StarnetError, match="run again to go on"):
        get(server, path, retries=1)
    with pytest.raises(StarnetError, match="cannot be reached"):
        get(server, path)
    with server.running():
        get(server, path)
    assert whole(path)


def test_a_disk_without_room(server: FileServer, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with pytest.raises(StarnetError, match="needs 3 MB more, and 1 MB are free"):
        get(server, path)


def test_a_disk_that_fills_up(server: FileServer, path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(StarnetError, match=r"File too large\); what has come is kept: free disk space"):
            get(server, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    get(server, path)
    assert whole(path)
    assert server.ranges_asked == [None, "bytes=1000000-"]


def test_a_folder_that_cannot_be_made(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StarnetError, match=r"could not be written .* choose a folder that is writable"):
        get(server, tmp_path / "file" / "weights.pth")


def test_who_comes_second_waits(server: FileServer, path: Path) -> None:
    server.slow = 0.1
    with ThreadPoolExecutor(4) as pool:
        for one in [pool.submit(get, server, path) for _ in range(4)]:
            one.result()
    assert whole(path)
    assert len(server.asked) == 1


PROGRAM = "import sys; from starnet.weights import download as d; d(*sys.argv[1:3], sha256=sys.argv[3], size=3_000_000)"


def test_killed_in_the_middle_and_run_again(server: FileServer, path: Path) -> None:
    server.slow = 2.0
    command = [sys.executable, "-c", PROGRAM, server.url(), str(path), SHA256]
    process = subprocess.Popen(command)
    part = path.with_name("weights.pth.partial")
    try:
        while not part.exists() or part.stat().st_size < 200_000:
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not path.exists()
    kept, server.slow = part.stat().st_size, 0.0
    subprocess.run(command, check=True)
    assert whole(path)
    assert server.ranges_asked == [None, f"bytes={kept}-"]
    assert server.asked[1][1]["If-Range"] == '"one"'


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("STARNET_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_folder() == tmp_path / ".cache" / "starnet"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder() == tmp_path / "Library" / "Caches" / "starnet"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / "Library" / "Caches" / "starnet"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "starnet"
    monkeypatch.setenv("STARNET_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "mine"


def test_known_weights_fit_networks_and_have_whole_checksums() -> None:
    assert {known.network for known in KNOWN.values()} == {"vit_b", "vit_l", "vit_h"} <= NETWORKS.keys()
    for known in KNOWN.values():
        assert len(bytes.fromhex(known.sha256)) == 32
        assert known.url == f"https://dl.fbaipublicfiles.com/segment_anything/{known.file_name}"
        # A parameter takes four bytes.
        assert known.size > {"vit_b": 370e6, "vit_l": 1.2e9, "vit_h": 2.5e9}[known.network]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, server: FileServer) -> Weights:
    """Known weights as small as the server's file."""
    known = Weights(server.url("sam.pth"), SHA256, len(CONTENT), "Apache-2.0", "vit_b")
    monkeypatch.setitem(KNOWN, "sam-vit-b", known)
    return known


def test_weights_are_found_where_they_were_fetched(
    small: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STARNET_CACHE", str(tmp_path / "cache"))
    with pytest.raises(StarnetError, match=r"run `starnet fetch sam-vit-b`, or name a file with --checkpoint FILE"):
        find_weights("vit_b")
    path = fetch("sam-vit-b")
    assert path == find_weights("vit_b") == tmp_path / "cache" / "sam.pth"
    assert find_weights("vit_b", path.parent) == path
    assert find_weights("any", path) == path
    assert state(small, path.parent) == "verified"
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(StarnetError, match=r"is not whole .* --force"):
        find_weights("vit_b")
    assert state(small, path.parent) == "wrong size"


def test_weights_that_are_not_there(small: Weights, tmp_path: Path) -> None:
    with pytest.raises(StarnetError, match=r"starnet fetch sam-vit-b --folder "):
        find_weights("vit_b", tmp_path)
    with pytest.raises(StarnetError, match=r"none\.pth, the weights of vit_b, is not there.* or run `starnet fetch"):
        find_weights("vit_b", tmp_path / "none.pth")
    for checkpoint in (None, tmp_path):
        with pytest.raises(StarnetError, match="no weights of vit_x are published: name a file with --checkpoint FILE"):
            find_weights("vit_x", checkpoint)
    with pytest.raises(StarnetError, match="the weights of tiny come with the package, not in"):
        find_weights("tiny", tmp_path)
    with pytest.raises(StarnetError, match="no known weights 'vit_b': choose sam-vit-b, "):
        fetch("vit_b", tmp_path)


def test_what_is_in_a_folder(small: Weights, tmp_path: Path) -> None:
    path = tmp_path / "sam.pth"
    assert state(small, tmp_path) == "missing"
    tmp_path.joinpath("sam.pth.partial").write_bytes(b"")
    assert state(small, tmp_path) == "in part"
    path.write_bytes(CONTENT)
    assert state(small, tmp_path) == "not checked"
    fetch("sam-vit-b", tmp_path)
    assert state(small, tmp_path) == "verified"
    later = path.stat().st_mtime_ns + 10**10
    os.utime(path, ns=(later, later))
    assert state(small, tmp_path) == "not checked"
    assert state(dataclasses.replace(small, sha256="0" * 64), tmp_path) == "not checked"


def test_a_mirror(small: Weights, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARNET_MIRROR", server.url("mirror/"))
    fetch("sam-vit-b", tmp_path)
    fetch("sam-vit-b", tmp_path, url=server.url("mine"), replace=True)
    assert [path for path, _ in server.asked] == ["/mirror/sam.pth", "/mine"]


def test_no_torch_is_needed() -> None:
    code = "import sys, starnet.weights; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
