"""Reading over the network from servers on loopback, and refusing what must not be read."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streammm.errors import SourceError
from streammm.media.address import public_name
from streammm.media.live import LiveReader
from streammm.media.network import NetworkOptions
from streammm.media.options import DecodeOptions, LiveOptions
from streammm.media.read import open_reader
from tests.conftest import MakeClip

OPTIONS = DecodeOptions(
    network=NetworkOptions(open_seconds=5.0), live=LiveOptions(connect_seconds=1.0, max_seconds=20.0)
)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder with byte ranges, and what the test asks for besides."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server: Server = self.server  # type: ignore[assignment]
        server.paths.append(self.path)
        server.authorizations.append(self.headers.get("Authorization", ""))
        if (target := server.redirects.get(self.path)) is not None:
            self.send_response(302)
            self.send_header("Location", target)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path.split("?")[0] == "/endless.mp3":
            self._go_on()
            return
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        for at in range(start, len(data), 16_384):
            try:
                self.wfile.write(data[at : at + 16_384])
            except OSError:
                return
            server.num_bytes += 16_384

    def _go_on(self) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        data = Path(self.translate_path("/sound.mp3")).read_bytes()
        try:
            while True:
                self.wfile.write(data)
                time.sleep(0.5)
        except OSError:
            return

    def log_message(self, *args: object) -> None:
        """Says nothing."""


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        self.redirects: dict[str, str] = {}
        self.paths: list[str] = []
        self.authorizations: list[str] = []
        self.num_bytes = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
            self.url = f"https://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A web server of the test's own directory."""
    served = Server(tmp_path)
    yield served
    served.shutdown()
    served.server_close()


@pytest.fixture
def ffmpeg() -> str:
    """The ffmpeg program."""
    if (found := shutil.which("ffmpeg")) is None:
        (pytest.fail if os.environ.get("STREAMMM_NO_SKIP") else pytest.skip)("no ffmpeg: apt-get install ffmpeg")
    return found


def read(source: str, options: DecodeOptions = OPTIONS) -> list[int]:
    with open_reader(source, options) as reader:
        return [segment.index for segment in reader]


def refusal(source: str, options: DecodeOptions = OPTIONS) -> SourceError:
    with pytest.raises(SourceError) as caught, open_reader(source, options) as reader:
        list(reader)
    return caught.value


def playlist(path: Path, *lines: str, end: bool = True) -> None:
    ending = ["#EXT-X-ENDLIST"] if end else []
    path.write_text("\n".join(["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:4", *lines, *ending, ""]))


def test_a_file_on_a_server_is_read_by_range(clip: MakeClip, server: Server) -> None:
    path = clip("a.mp4", 20.0, size=(640, 480), rate=25)  # its index is at the end
    with open_reader(str(path), OPTIONS) as reader:
        here = list(reader)
    with open_reader(f"{server.url}/a.mp4", OPTIONS) as reader:
        there = list(reader)
    assert [s.index for s in there] == list(range(10))
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(here, there, strict=True))
    assert there[0].source == f"{server.url}/a.mp4"
    server.num_bytes = 0
    with open_reader(f"{server.url}/a.mp4", OPTIONS, first_segment=9) as reader:
        (last,) = reader
    assert np.array_equal(last.frames, here[9].frames)


def test_a_recorded_playlist_is_a_file_and_ends(clip: MakeClip, server: Server, tmp_path: Path) -> None:
    clip("s0.ts", 4.0, clicks=[1.0])
    clip("s1.ts", 4.0, options={"output_ts_offset": "4"})
    playlist(tmp_path / "a.m3u8", "#EXTINF:4,", "s0.ts", "#EXTINF:4,", "s1.ts")
    assert read(f"{server.url}/a.m3u8") == [0, 1, 2, 3]


def test_a_playlist_without_an_end_and_an_endless_body_are_live(clip: MakeClip, server: Server, tmp_path: Path) -> None:
    clip("s0.ts", 4.0)
    playlist(tmp_path / "live.m3u8", "#EXTINF:4,", "s0.ts", end=False)
    clip("sound.mp3", 4.0, video=None, audio="libmp3lame")
    for name in ("live.m3u8", "endless.mp3"):
        with open_reader(f"{server.url}/{name}", OPTIONS) as reader:
            assert isinstance(reader, LiveReader)
            assert reader.read(1)[0][0].live is not None


@pytest.mark.parametrize("entry", ["/etc/passwd", "file:///etc/passwd", "concat:a.ts|/etc/passwd", "subfile,,:a.ts"])
def test_a_playlist_that_names_a_local_file_reads_nothing(server: Server, tmp_path: Path, entry: str) -> None:
    playlist(tmp_path / "a.m3u8", "#EXTINF:4,", entry)
    error = refusal(f"{server.url}/a.m3u8")
    assert error.reason in ("refused", "unreachable", "not-media", "undecodable", "no-media")
    assert "root:" not in error.detail


@pytest.mark.parametrize("way", ["playlist", "redirect", "variant"])
def test_another_host_is_asked_for_nothing_unless_it_is_allowed(
    clip: MakeClip, server: Server, tmp_path: Path, way: str
) -> None:
    clip("s0.ts", 4.0)
    other = Server(tmp_path)
    elsewhere = f"{other.url.replace('127.0.0.1', 'localhost')}/s0.ts"
    if way == "playlist":
        playlist(tmp_path / "a.m3u8", "#EXTINF:4,", elsewhere)
    elif way == "variant":
        playlist(tmp_path / "b.m3u8", "#EXTINF:4,", "s0.ts")
        there = elsewhere.replace("s0.ts", "b.m3u8")
        (tmp_path / "a.m3u8").write_text(f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{there}\n")
    else:
        server.redirects["/a.m3u8"] = elsewhere
    error = refusal(f"{server.url}/a.m3u8")
    assert other.paths == []
    if way == "redirect":
        assert "another host, localhost" in error.detail
    allowed = replace(OPTIONS, network=replace(OPTIONS.network, allowed_hosts=("localhost",)))
    assert read(f"{server.url}/a.m3u8", allowed) == [0, 1]
    other.shutdown()


def test_a_redirect_on_the_same_host_is_followed(clip: MakeClip, server: Server) -> None:
    clip("a.ts", 4.0)
    server.redirects["/old"] = "/a.ts"
    assert read(f"{server.url}/old") == [0, 1]
    server.redirects["/round"] = "/round"
    assert refusal(f"{server.url}/round").reason == "unreachable"


def test_certificates_are_verified(clip: MakeClip, tmp_path: Path) -> None:
    clip("a.ts", 4.0)
    certificate = tmp_path / "certificate.pem"
    files = ["-keyout", str(certificate), "-out", str(tmp_path / "c.pem")]
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject, *files],
        check=True,
        capture_output=True,
    )
    certificate.write_text(certificate.read_text() + (tmp_path / "c.pem").read_text())
    secure = Server(tmp_path, certificate)
    assert "certificate" in refusal(f"{secure.url}/a.ts").detail
    trusting = replace(OPTIONS, network=replace(OPTIONS.network, ca_file=str(tmp_path / "c.pem")))
    assert read(f"{secure.url}/a.ts", trusting) == [0, 1]
    secure.redirects["/b.ts"] = secure.url.replace("https", "http") + "/a.ts"
    assert "from https to http" in refusal(f"{secure.url}/b.ts", trusting).detail
    secure.shutdown()


def test_credentials_go_to_the_server_and_nowhere_else(clip: MakeClip, server: Server, monkeypatch) -> None:
    clip("a.ts", 4.0)
    monkeypatch.setenv("CAM_PASSWORD", "hunter2")
    source = server.url.replace("http://", "http://admin:${CAM_PASSWORD}@") + "/a.ts"
    with open_reader(source, OPTIONS) as reader:
        assert {s.source for s in reader} == {public_name(source)}
    assert server.authorizations[0] == "Basic YWRtaW46aHVudGVyMg=="
    literal = server.url.replace("http://", "http://admin:hunter2@") + "/missing.ts?token=hunter2"
    error = refusal(literal)
    assert "404" in error.detail
    assert "hunter2" not in repr(error)


@pytest.mark.parametrize(
    ("source", "reason", "words"),
    [
        ("gopher://host/a.mp4", "unsupported", "not gopher"),
        ("file:///etc/passwd", "unsupported", "path"),
        ("gopher://host/1", "unsupported", "not gopher"),
        ("udp://127.0.0.1:5?logfile=/tmp/x", "bad-address", "logfile"),
        ("http://127.0.0.1:9/a.mp4", "unreachable", "refused"),
        ("rtsp://admin:hunter2@127.0.0.1:9/a", "unreachable", "refused"),
        ("tcp://127.0.0.1:9", "unreachable", "refused"),
        ("rtsp://${NOT_SET_ANYWHERE}@h/a", "bad-address", "NOT_SET_ANYWHERE"),
    ],
)
def test_what_cannot_be_read_is_said_in_words(source: str, reason: str, words: str) -> None:
    error = refusal(source)
    assert (error.reason, words in error.detail) == (reason, True), error.detail
    assert "hunter2" not in repr(error)


def test_bridges_say_which_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for source in ("srt://127.0.0.1:9000", "/dev/video0"):
        error = refusal(source)
        assert error.reason == "needs-ffmpeg"
        assert "apt-get install ffmpeg" in error.detail


def test_a_camera_that_is_not_there(ffmpeg: str) -> None:
    assert "No such file" in refusal("/dev/video77").detail


@pytest.mark.parametrize("elsewhere", [False, True])
def test_dash_goes_through_the_bridge_under_the_same_policy(
    clip: MakeClip, server: Server, tmp_path: Path, ffmpeg: str, elsewhere: bool
) -> None:
    path = clip("a.mp4", 6.0)
    command = [ffmpeg, "-loglevel", "error", "-i", str(path), "-c", "copy", "-f", "dash", str(tmp_path / "a.mpd")]
    subprocess.run(command, check=True)
    if not elsewhere:
        assert read(f"{server.url}/a.mpd") == [0, 1, 2]
        return
    other = Server(tmp_path)
    there = other.url.replace("127.0.0.1", "localhost")
    manifest = tmp_path / "a.mpd"
    manifest.write_text(manifest.read_text().replace("<Period", f"<BaseURL>{there}/</BaseURL><Period", 1))
    refusal(f"{server.url}/a.mpd")
    assert other.paths == []
    other.shutdown()


def test_standard_input_is_read_to_its_end(clip: MakeClip, streammm: Callable[..., object]) -> None:
    path = clip("a.mkv", 5.0)
    code = "import sys; from streammm.media.read import open_reader; from streammm.media.options import DecodeOptions; "
    code += "print([s.index for s in open_reader('-', DecodeOptions())])"
    command = f'(head -c 20000 {path}; sleep 2; tail -c +20001 {path}) | {sys.executable} -c "{code}"'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[0, 1, 2]"


def test_a_tcp_stream_is_followed(clip: MakeClip, ffmpeg: str) -> None:
    path = clip("a.ts", 8.0, rate=25)
    port = Server(path.parent).server_address[1] + 1
    output = ["-c", "copy", "-f", "mpegts", f"tcp://127.0.0.1:{port}?listen=1"]
    sender = subprocess.Popen([ffmpeg, "-loglevel", "error", "-re", "-i", str(path), *output])
    with open_reader(f"tcp://127.0.0.1:{port}", replace(OPTIONS, live=LiveOptions(connect_seconds=20.0))) as reader:
        segments = reader.read(1)[0]
    assert segments[0].live is not None
    assert len(segments[0].frames) > 0
    sender.kill()
    sender.wait()
