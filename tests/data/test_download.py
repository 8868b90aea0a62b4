"""Fetching: what broke off goes on where it was, what is wrong is refused whole, and nobody asks a network in vain."""

from __future__ import annotations

import bz2
import errno
import gc
import gzip
import hashlib
import io
import lzma
import os
import re
import struct
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwsam_ref.data import archive, cifar10, source
from lwsam_ref.data import download as downloads
from lwsam_ref.data.download import download, md5_of
from lwsam_ref.data.source import Source
from lwsam_ref.errors import UserError
from support.cifar_files import FOLDER, NAMES, batch, lwsam, refused, tree, unreachable, use_records, use_source

BYTES = bytes(range(256)) * 40


@dataclass
class Server:
    """Serves ``content`` at every path of 127.0.0.1; the rest says how badly, and what was asked and sent."""

    content: bytes
    ranges: bool = True
    """Whether a request for the rest gets the rest."""
    breaks_after: int | None = None
    """Bytes of an answer after which the connection is closed."""
    length: str | None = ""
    """``Content-Length`` as told: the true one if empty, none at all if None."""
    raw: bytes | None = None
    """An answer that is sent as it is."""
    silent: bool = False
    """Whether it accepts, and then says nothing."""
    asked: list[str | None] = field(default_factory=list)
    """The ``Range`` of every request."""
    sent: list[int] = field(default_factory=list)
    """How many bytes of the content every answer had."""
    url: str = ""

    @contextmanager
    def running(self) -> Iterator[Server]:
        done = threading.Event()
        config = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                config.asked.append(self.headers["Range"])
                if config.silent:
                    done.wait(10)
                elif config.raw is not None:
                    self.wfile.write(config.raw)
                else:
                    config.answer(self)

            def log_message(self, *_: object) -> None:
                """No line for each request."""

        with HTTPServer(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_port}/archive.tar.gz"
            thread = threading.Thread(target=server.serve_forever, args=(0.005,))
            thread.start()
            try:
                yield self
            finally:
                done.set()
                server.shutdown()
                thread.join()

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        whole, body = len(self.content), self.content
        asked = self.asked[-1] if self.ranges else None
        if asked is None:
            to.send_response(200)
        else:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])  # type: ignore[index]
            if start >= whole:
                to.send_error(416)
                self.sent.append(0)
                return
            body = self.content[start:]
            to.send_response(206)
            to.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        if self.length is not None:
            to.send_header("Content-Length", self.length or str(len(body)))
        to.end_headers()
        body = body[: self.breaks_after]
        with suppress(ConnectionError):  # the other side has gone
            to.wfile.write(body)
        self.sent.append(len(body))


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is here, whatever the environment says."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


class Ticks(list[tuple[int, int]]):
    """What a progress bar is told."""

    def __call__(self, there: int, total: int) -> None:
        self.append((there, total))


def quiet(there: int, total: int) -> None:
    """A progress bar that nobody sees."""


def get(server: Server, target: Path, tick: Callable[[int, int], None] = quiet) -> None:
    download(server.url, target, f"it by hand and put it at {target}", tick)


def failure(server: Server, target: Path) -> str:
    """The one sentence with which a download fails, and neither a target nor anything but a part is there."""
    with pytest.raises(UserError) as error:
        get(server, target)
    said = str(error.value)
    assert len(said.splitlines()) == 1, said
    assert said.startswith(f"asked for {server.url}, but ")
    assert said.endswith(f": run the same again to go on from there, or get it by hand and put it at {target}")
    assert {p.name for p in target.parent.iterdir()} <= {"got.part"}
    return said


def part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("length", ["", None])
def test_a_file_comes_whole_and_its_progress_is_told(tmp_path: Path, ranges: bool, length: str | None) -> None:
    ticks, target = Ticks(), tmp_path / "got"
    big = BYTES * 60  # more than one chunk
    with Server(big, ranges, length=length).running() as server:
        get(server, target, ticks)
    assert target.read_bytes() == big
    assert list(tmp_path.iterdir()) == [target]
    assert (server.asked, server.sent) == ([None], [len(big)])
    assert [there for there, _ in ticks] == sorted({there for there, _ in ticks})
    assert ticks[-1][0] == len(big)
    assert len(ticks) > 1
    assert {total for _, total in ticks} == {len(big) if length == "" else 0}


@pytest.mark.parametrize("first", [1, 1000, len(BYTES) - 1])
def test_what_broke_off_goes_on_with_the_rest_only(tmp_path: Path, first: int) -> None:
    ticks, target = Ticks(), tmp_path / "got"
    with Server(BYTES, breaks_after=first).running() as server:
        assert f"it broke off after {first} of {len(BYTES)} bytes" in failure(server, target)
        assert part(target).read_bytes() == BYTES[:first]
        server.breaks_after = None
        get(server, target, ticks)
    assert server.asked == [None, f"bytes={first}-"]
    assert server.sent == [first, len(BYTES) - first]
    assert target.read_bytes() == BYTES
    assert not part(target).exists()
    assert ticks[-1] == (len(BYTES), len(BYTES))
    assert ticks[0][0] > first  # what was there counts


def test_what_broke_off_before_its_first_byte_starts_anew(tmp_path: Path) -> None:
    with Server(BYTES, breaks_after=0).running() as server:
        assert f"it broke off after 0 of {len(BYTES)} bytes" in failure(server, tmp_path / "got")
        server.breaks_after = None
        get(server, tmp_path / "got")
    assert server.asked == [None, None]
    assert (tmp_path / "got").read_bytes() == BYTES


def test_where_the_server_sends_all_again_the_part_is_written_anew(tmp_path: Path) -> None:
    ticks, target = Ticks(), tmp_path / "got"
    with Server(BYTES, ranges=False, breaks_after=1000).running() as server:
        failure(server, target)
        part(target).write_bytes(b"?" * 2 * len(BYTES))  # longer than the whole: nothing of it may stay
        server.breaks_after = None
        get(server, target, ticks)
    assert server.asked == [None, f"bytes={2 * len(BYTES)}-"]
    assert server.sent == [1000, len(BYTES)]
    assert target.read_bytes() == BYTES
    assert ticks[-1] == (len(BYTES), len(BYTES))


def test_a_part_that_is_the_whole_is_not_sent_again(tmp_path: Path) -> None:
    target = tmp_path / "got"
    part(target).write_bytes(BYTES)
    with Server(BYTES).running() as server:
        get(server, target)
    assert (server.asked, server.sent) == ([f"bytes={len(BYTES)}-"], [0])
    assert target.read_bytes() == BYTES
    assert not part(target).exists()


@given(st.lists(st.integers(0, 4000), max_size=5), st.booleans())
def test_however_often_it_breaks_off_no_byte_is_sent_twice(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], ranges: bool
) -> None:
    target = tmp_path_factory.mktemp("cuts") / "got"
    with Server(BYTES, ranges).running() as server:
        for cut in [*cuts, None]:
            server.breaks_after = cut
            with suppress(UserError):
                get(server, target)
            if target.exists():
                break
            assert part(target).read_bytes() == BYTES[: sum(server.sent) if ranges else cut]
    assert target.read_bytes() == BYTES
    if ranges:
        assert sum(server.sent) == len(BYTES)


def answer(status: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"HTTP/1.0 {status}", *headers, "", ""]).encode() + body


BAD = {
    "not found": (Server(b"", raw=answer("404 Not Found")), "the server says 404 Not Found"),
    "an error of the server": (Server(b"", raw=answer("500 Oh dear")), "the server says 500 Oh dear"),
    "a redirection to nowhere": (Server(b"", raw=answer("302 Found", "Location: ftp2://x")), "302"),
    "closed at once": (Server(b"", raw=b""), "closed"),
    "something else than HTTP": (Server(b"", raw=b"220 mail.example.org ESMTP\r\n"), "220"),
    "silence": (Server(b"", silent=True), "timed out"),
    "fewer bytes than told": (
        Server(BYTES, length=str(len(BYTES) + 1)),
        f"broke off after {len(BYTES)} of {len(BYTES) + 1} bytes",
    ),
    "a length that is no number": (Server(BYTES, length="many"), ""),
    "a chunk that breaks off": (
        Server(b"", raw=answer("200 OK", "Transfer-Encoding: chunked", body=b"5\r\nab").replace(b"1.0", b"1.1")),
        "",
    ),
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("with_part", [False, True])
def test_a_download_that_fails_says_why_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, with_part: bool
) -> None:
    monkeypatch.setattr(downloads, "SECONDS", 0.1)
    behaviour, reason = BAD[what]
    target = tmp_path / "got"
    if with_part:
        part(target).write_bytes(b"a part")
    with replace(behaviour, asked=[], sent=[], ranges=False).running() as server:
        assert reason in failure(server, target)
    gc.collect()  # a connection that was left open is told here, as a warning, which is an error
    if with_part and behaviour.content == b"" and "chunk" not in what:
        assert part(target).read_bytes() == b"a part"  # no answer, nothing lost


def test_no_range_where_none_was_asked_is_a_failure(tmp_path: Path) -> None:
    with Server(b"", raw=answer("416 Nothing there")).running() as server:
        assert "the server says 416 Nothing there" in failure(server, tmp_path / "got")
    gc.collect()


def test_nobody_at_the_address_is_one_sentence(tmp_path: Path) -> None:
    with unreachable() as url:
        assert os.strerror(errno.ECONNREFUSED) in failure(Server(b"", url=url), tmp_path / "got")


def test_an_interrupted_download_keeps_its_part(tmp_path: Path) -> None:
    def interrupt(there: int, total: int) -> None:
        raise KeyboardInterrupt

    target = tmp_path / "got"
    with Server(BYTES).running() as server:
        with pytest.raises(KeyboardInterrupt):
            get(server, target, interrupt)
        assert list(tmp_path.iterdir()) == [part(target)]
        get(server, target)
    assert target.read_bytes() == BYTES


def test_md5_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert md5_of(tmp_path / "abc") == "900150983cd24fb0d6963f7d28e17f72"  # RFC 1321


FILES = {"one.bin": b"1" * 700, "two.bin": bytes(range(256)) * 3}


def member(name: str, content: bytes = b"", **header: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in header.items():
        setattr(info, key, value)
    return info, content


def packed(members: Sequence[tuple[tarfile.TarInfo, bytes]], mode: str = "w:gz") -> bytes:
    """An archive, each header written as it is given, whether it fits the content or not."""
    inner = io.BytesIO()
    for info, content in members:
        inner.write(info.tobuf(tarfile.GNU_FORMAT) + content + b"\0" * (-len(content) % 512))
    inner.write(b"\0" * 1024)
    pack: dict[str, Callable[[bytes], bytes]] = {
        "w": bytes,
        "w:gz": gzip.compress,
        "w:bz2": bz2.compress,
        "w:xz": lzma.compress,
    }
    return pack[mode](inner.getvalue())


GOOD = [member(f"folder/{name}", content) for name, content in FILES.items()]
ARCHIVE = packed([member("folder", type=tarfile.DIRTYPE), member("folder/read.me", b"hello"), *GOOD])


def a_source(url: str, content: bytes = ARCHIVE, **changes: object) -> Source:
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    sizes = {name: len(content) for name, content in FILES.items()}
    return replace(Source("toy", url, md5, "folder", sizes), **changes)  # type: ignore[arg-type]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(ARCHIVE).running() as server:
        yield server


@pytest.fixture
def nowhere() -> Iterator[str]:
    with unreachable() as url:
        yield url.replace("cifar-10-binary", "archive")


def has_files(folder: Path) -> bool:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "archive.tar.gz"} == FILES


@pytest.mark.parametrize("by", ["argument", "variable"])
def test_a_source_is_fetched_checked_and_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server, by: str
) -> None:
    base, ticks = tmp_path / "not" / "yet" / "there", Ticks()
    monkeypatch.setenv("LWSAM_DATA_DIR", str(base if by == "variable" else tmp_path / "wrong"))
    asked = base if by == "argument" else None
    assert a_source(server.url).fetch(asked, ticks) == base / "folder"
    assert has_files(base / "folder")  # and not read.me
    assert sorted(p.name for p in base.iterdir()) == ["archive.tar.gz", "folder"]
    assert ticks[-1] == (len(ARCHIVE), len(ARCHIVE))
    assert a_source(server.url).fetch(asked, ticks) == base / "folder"
    assert server.asked == [None]  # the second time there was nothing to do


def test_an_archive_with_another_sum_is_refused_with_both_and_stays_packed(tmp_path: Path, server: Server) -> None:
    wrong, archive_ = a_source(server.url, md5="0" * 32), tmp_path / "archive.tar.gz"
    for _ in range(2):  # it stays refused, and is not asked for again
        with pytest.raises(UserError) as error:
            wrong.fetch(tmp_path, quiet)
        said = str(error.value)
        right = hashlib.md5(ARCHIVE, usedforsecurity=False).hexdigest()
        assert all(word in said for word in (str(archive_), right, "0" * 32, "remove it", "lwsam data fetch toy")), said
        assert [p.name for p in tmp_path.iterdir()] == ["archive.tar.gz"]
    assert server.asked == [None]
    archive_.unlink()
    assert has_files(a_source(server.url).fetch(tmp_path, quiet))


def test_a_part_of_something_else_is_refused_and_fetched_anew_once_removed(tmp_path: Path, server: Server) -> None:
    (tmp_path / "archive.tar.gz.part").write_bytes(b"?" * (len(ARCHIVE) + 1))
    with pytest.raises(UserError, match="remove it"):
        a_source(server.url).fetch(tmp_path, quiet)
    (tmp_path / "archive.tar.gz").unlink()
    assert has_files(a_source(server.url).fetch(tmp_path, quiet))


def test_an_archive_that_was_put_there_needs_no_network(tmp_path: Path, nowhere: str) -> None:
    with pytest.raises(UserError, match=rf"get {nowhere} by another way and put it at {tmp_path}/archive.tar.gz"):
        a_source(nowhere).fetch(tmp_path, quiet)
    assert not list(tmp_path.iterdir())
    (tmp_path / "archive.tar.gz").write_bytes(ARCHIVE)
    assert has_files(a_source(nowhere).fetch(tmp_path, quiet))


@pytest.mark.parametrize("place", ["", "folder"])
def test_files_that_are_there_need_neither_network_nor_archive(tmp_path: Path, nowhere: str, place: str) -> None:
    (tmp_path / place).mkdir(exist_ok=True)
    for name, content in FILES.items():
        (tmp_path / place / name).write_bytes(content)
    before = tree(tmp_path)
    assert a_source(nowhere).fetch(tmp_path, quiet) == tmp_path / place
    assert tree(tmp_path) == before


@pytest.mark.parametrize("place", ["", "folder"])
@pytest.mark.parametrize("missing", FILES)
def test_a_file_that_is_missing_is_fetched_wherever_the_others_lie(
    tmp_path: Path, server: Server, place: str, missing: str
) -> None:
    (tmp_path / place).mkdir(exist_ok=True)
    for name in FILES.keys() - {missing}:
        (tmp_path / place / name).write_bytes(FILES[name])
    folder = a_source(server.url).fetch(tmp_path, quiet)
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    assert a_source(server.url).path(tmp_path) == folder


def test_a_file_of_the_wrong_size_is_named_and_fetched_once_removed(tmp_path: Path, server: Server) -> None:
    folder = a_source(server.url).fetch(tmp_path, quiet)
    (folder / "two.bin").write_bytes(b"short")
    with pytest.raises(UserError, match=r"two\.bin has 5 bytes where 768 are right: remove it"):
        a_source(server.url).fetch(tmp_path, quiet)
    (folder / "two.bin").unlink()
    assert has_files(a_source(server.url).fetch(tmp_path, quiet))
    assert server.asked == [None]  # the archive was still there


def test_a_download_that_broke_off_goes_on_at_the_next_fetch(tmp_path: Path, server: Server) -> None:
    server.breaks_after = 100
    with pytest.raises(UserError, match="it broke off after 100 of"):
        a_source(server.url).fetch(tmp_path, quiet)
    assert [p.name for p in tmp_path.iterdir()] == ["archive.tar.gz.part"]
    server.breaks_after = None
    assert has_files(a_source(server.url).fetch(tmp_path, quiet))
    assert server.asked == [None, "bytes=100-"]
    assert server.sent == [100, len(ARCHIVE) - 100]


@pytest.mark.parametrize("at", ["md5_of", "archive.extract", "archive.write_atomically"])
def test_what_is_interrupted_after_the_download_goes_on_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server, nowhere: str, at: str
) -> None:
    calls: list[object] = []

    def interrupt(*arguments: object) -> None:
        calls.append(arguments)
        if at != "archive.write_atomically" or len(calls) == 2:  # between the first file and the second
            raise KeyboardInterrupt
        write(*arguments)  # type: ignore[arg-type]

    write, (*module, name) = archive.write_atomically, at.split(".")
    with monkeypatch.context() as patch:
        patch.setattr(archive if module else source, name, interrupt)
        with pytest.raises(KeyboardInterrupt):
            a_source(server.url).fetch(tmp_path, quiet)
    assert has_files(a_source(nowhere).fetch(tmp_path, quiet))
    assert server.asked == [None]


def test_without_a_network_the_command_says_where_to_put_which_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with unreachable() as url:
        use_source(monkeypatch, replace(cifar10.SOURCE, url=url))
        said = refused("data", "fetch", "cifar10", "--data-dir", tmp_path / "data")
    put = f"get {url} by another way and put it at {tmp_path}/data/cifar-10-binary.tar.gz"
    why = f"[Errno {errno.ECONNREFUSED}] {os.strerror(errno.ECONNREFUSED)}"
    assert said == f"lwsam: asked for {url}, but {why}: run the same again to go on from there, or {put}\n"
    assert list((tmp_path / "data").iterdir()) == []


def test_the_command_fetches_goes_on_and_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {name: batch(20, seed) for seed, name in enumerate(NAMES)}
    whole = packed([member(f"{FOLDER}/{name}", c) for name, c in contents.items()])
    with Server(whole, breaks_after=1000).running() as server:
        url = server.url.replace("archive", "cifar-10-binary")
        use_records(monkeypatch, 20, url=url, md5="f" * 32)
        command = ("data", "fetch", "cifar10", "--data-dir", tmp_path)
        assert f"it broke off after 1000 of {len(whole)} bytes" in refused(*command)
        server.breaks_after = None
        assert "f" * 32 in refused(*command)
        use_records(monkeypatch, 20, url=url, md5=hashlib.md5(whole, usedforsecurity=False).hexdigest())
        line = f"cifar10: 100 images to train on and 20 to test with, 32 x 32 x 3, 10 classes, in {tmp_path / FOLDER}\n"
        assert lwsam(*command) == (0, line, "")
    assert server.sent == [1000, len(whole) - 1000]
    assert {p.name: p.read_bytes() for p in (tmp_path / FOLDER).iterdir()} == contents


def test_the_digits_need_no_fetching() -> None:
    said = lwsam("data", "fetch", "digits")
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith("digits: 1438 images to train on and 359 to test with")


SIZES = {name: len(content) for name, content in FILES.items()}
ONE, TWO = GOOD


def instead(**header: object) -> list[tuple[tarfile.TarInfo, bytes]]:
    """The second file with another header."""
    return [ONE, member("folder/two.bin", **{"content": FILES["two.bin"], **header})]  # type: ignore[arg-type]


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as z:
        z.writestr("folder/one.bin", FILES["one.bin"])
    return file.getvalue()


def negative() -> bytes:
    """A member of size -1024: whoever goes on behind it comes back to the member before, and never ends."""
    name = member("folder/back")[0]
    header = bytearray(name.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 4 + struct.pack(">q", -1024)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return packed([ONE, member("folder/x"), member("folder/y")], "w")[:-1024] + bytes(header) + b"\0" * 1024


OUTSIDE = [f"its member {name!r} lies outside folder/" for name in ("../two.bin", "/tmp/two.bin")]  # noqa: S108
REFUSED = {
    "a member above": (packed([*GOOD, member("../two.bin", b"x")]), OUTSIDE[0]),
    "an absolute member": (packed([*GOOD, member("/tmp/two.bin", b"x")]), OUTSIDE[1]),  # noqa: S108
    "an absolute member in a folder of that name": (packed([*GOOD, member("/folder/two.bin", b"x")]), "outside"),
    "a member outside, before the others": (packed([member("two.bin", b"x"), *GOOD]), "outside"),
    "a member in another folder": (packed([*GOOD, member("folder2/two.bin", b"x")]), "outside"),
    "a way out and in again": (packed([ONE, member("folder/../folder/two.bin", FILES["two.bin"])]), "outside"),
    "a way out behind a folder": (packed([*GOOD, member("folder/x/../../../two.bin", b"x")]), "outside"),
    "a name of no parts": (packed([*GOOD, member(".", type=tarfile.DIRTYPE)]), "outside"),
    "a link outside": (packed([*GOOD, member("out", type=tarfile.SYMTYPE, linkname="/")]), "outside"),
    "a symbolic link": (packed(instead(type=tarfile.SYMTYPE, linkname="/etc/passwd", content=b"")), "no plain file"),
    "a symbolic link that tells the size": (
        packed(instead(type=tarfile.SYMTYPE, linkname="one.bin", size=768, content=b"")),
        "no plain file",
    ),
    "a hard link": (packed(instead(type=tarfile.LNKTYPE, linkname="folder/one.bin", content=b"")), "no plain file"),
    "a folder": (packed(instead(type=tarfile.DIRTYPE, content=b"")), "no plain file"),
    "a pipe": (packed(instead(type=tarfile.FIFOTYPE, content=b"")), "no plain file"),
    "a device": (packed(instead(type=tarfile.CHRTYPE, content=b"")), "no plain file"),
    "a file that is too short": (packed(instead(content=FILES["two.bin"][1:])), "no plain file of 768 bytes"),
    "a file that is too long": (packed(instead(content=FILES["two.bin"] + b"x")), "no plain file of 768 bytes"),
    "an empty file": (packed(instead(content=b"")), "no plain file of 768 bytes"),
    "a second file of that name, too short": (packed([*GOOD, member("folder/two.bin", b"x")]), "no plain file"),
    "a file that says it is huge": (packed(instead(size=1 << 60)), "no plain file of 768 bytes"),
    "another file that says it is huge": (packed([ONE, member("folder/x", size=1 << 50), TWO]), ""),
    "another file, in a plain tar, that says it is huge": (
        packed([ONE, member("folder/x", size=1 << 80), TWO], "w"),
        "",
    ),
    "a name that says it is huge": (packed([ONE, member("folder/x", type=b"L", size=1 << 50), TWO]), ""),
    "a name, in a plain tar, that says it is huge": (packed([ONE, member("x", type=b"L", size=1 << 50), TWO], "w"), ""),
    "extended headers that say they are huge": (packed([ONE, member("x", type=b"x", size=1 << 80), TWO], "w"), ""),
    "extended headers that are none": (packed([ONE, member("x", b"99 path=?\n" + b"1 1", type=b"x"), TWO]), ""),
    "a file that says it is less than nothing": (negative(), ""),
    "one file missing": (packed([ONE]), "it has no 'folder/two.bin'"),
    "no file at all": (packed([]), "it has no 'folder/one.bin'"),
    "a file under a longer name": (packed([ONE, member("./folder/two.bin", FILES["two.bin"])]), ""),
    "a gzip cut in half": (ARCHIVE[: len(ARCHIVE) // 2], "cannot be unpacked"),
    "a gzip without its last byte": (ARCHIVE[:-1], "cannot be unpacked"),
    "a gzip without its check sum": (ARCHIVE[:-8], "cannot be unpacked"),
    "a gzip with another check sum": (ARCHIVE[:-8] + bytes(4) + ARCHIVE[-4:], "cannot be unpacked"),
    "a tar cut in half": (packed(GOOD, "w")[:2000], ""),
    "a gzip of no tar": (gzip.compress(b"hello\n" * 1000), "cannot be unpacked"),
    "an empty archive file": (b"", "cannot be unpacked"),
    "a text": (b"<html>Not found</html>\n" * 100, "cannot be unpacked"),
    "zeros": (bytes(10240), ""),
    "a zip": (zipped(), "cannot be unpacked"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_archive_that_is_not_as_expected_is_refused_and_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    content, reason = REFUSED[what]
    path, into = tmp_path / "archive.tar.gz", tmp_path / "a" / "b" / "into"
    into.mkdir(parents=True)
    path.write_bytes(content)
    (into / "kept").write_bytes(b"kept")
    before = tree(tmp_path)
    headers: list[object] = []
    following = tarfile.TarFile.next

    def next_(self: tarfile.TarFile) -> tarfile.TarInfo | None:
        headers.append(following(self))
        assert len(headers) < 100, "no end"
        return headers[-1]  # type: ignore[return-value]

    monkeypatch.setattr(tarfile.TarFile, "next", next_)
    with pytest.raises(UserError) as error:
        archive.extract(path, "folder", SIZES, into)
    said = str(error.value)
    assert len(said.splitlines()) == 1, said
    assert said.startswith(f"asked to unpack {path}, but ")
    assert said.endswith(": remove it and fetch it again")
    assert reason in said
    assert tree(tmp_path) == before
    assert not Path("/tmp/two.bin").exists()  # noqa: S108


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_exactly_the_expected_files_are_unpacked(tmp_path: Path, mode: str) -> None:
    others = [
        member("folder", type=tarfile.DIRTYPE),
        member("folder/read.me", b"hello"),
        member("folder/link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("folder/below/one.bin", b"another"),
    ]
    (tmp_path / "archive").write_bytes(packed([*others, *reversed(GOOD)], mode))
    archive.extract(tmp_path / "archive", "folder", SIZES, tmp_path / "into")
    assert {p.name: p.read_bytes() for p in (tmp_path / "into" / "folder").iterdir()} == FILES
    assert [p.name for p in (tmp_path / "into").iterdir()] == ["folder"]


def test_files_of_before_are_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(ARCHIVE)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "one.bin").write_bytes(b"old")
    (tmp_path / "outside").write_bytes(b"mine")
    (tmp_path / "folder" / "two.bin").symlink_to(tmp_path / "outside")
    archive.extract(tmp_path / "archive", "folder", SIZES, tmp_path)
    assert {p.name: p.read_bytes() for p in (tmp_path / "folder").iterdir()} == FILES
    assert (tmp_path / "outside").read_bytes() == b"mine"  # a link is replaced, not followed
