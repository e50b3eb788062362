"""Real servers on loopback: started, stopped, killed and frozen by the tests."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

RTSP_SERVER = Path(__file__).with_name("rtsp_server.py")

NGINX = """
daemon off; worker_processes 1; user root; pid {here}/nginx.pid; error_log {here}/nginx.log warn;
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
events {{ worker_connections 64; }}
rtmp {{ server {{ listen 127.0.0.1:{rtmp}; application live {{
  live on; wait_key on; hls on; hls_path {here}/hls; hls_fragment 1s; hls_playlist_length 6s; }} }} }}
http {{ access_log off; client_body_temp_path {here}/b; proxy_temp_path {here}/p; fastcgi_temp_path {here}/f;
  uwsgi_temp_path {here}/u; scgi_temp_path {here}/s;
  types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; }}
  server {{ listen 127.0.0.1:{http}; root {here}; add_header Cache-Control no-cache; }} }}
"""


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port on loopback that nobody uses now."""
    with socket.socket(socket.AF_INET, kind) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Server:
    """A process; what it says is kept in a file beside it."""

    def __init__(self, name: str, folder: Path, command: list[object], port: int | None = None) -> None:
        self.name = name
        self._folder = folder
        self._command = [str(part) for part in command]
        self._port = port
        self.start()

    def start(self) -> None:
        with (self._folder / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if self._port is not None:
            wait_for(self._port, self.name)

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        return self._process.pid

    def kill(self) -> None:
        if self._process.poll() is None:
            self.thaw()
            self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)


def wait_for(port: int, name: str, seconds: float = 15.0) -> None:
    """Waits until something listens at a port."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"{name} does not listen at port {port}")


class LossyProxy:
    """Passes datagrams on and loses some of them, the same ones every time."""

    def __init__(self, to_port: int, loss: float) -> None:
        self._in = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._in.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 2**20)
        self._in.bind(("127.0.0.1", 0))
        self.port = int(self._in.getsockname()[1])
        self._to = ("127.0.0.1", to_port)
        self._loss = loss
        self.num_lost = 0
        threading.Thread(target=self._pass_on, daemon=True).start()

    def _pass_on(self) -> None:
        dice = random.Random(1)  # noqa: S311 - the same losses every time
        with self._in, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            while True:
                datagram = self._in.recv(65536)
                if dice.random() < self._loss:
                    self.num_lost += 1
                else:
                    out.sendto(datagram, self._to)


class Rig:
    """Everything that one test starts; ended with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._servers: list[Server] = []

    def run(self, name: str, command: list[object], port: int | None = None) -> Server:
        self._servers.append(Server(name, self.folder, command, port))
        return self._servers[-1]

    def publish(self, clip: Path, form: str, url: str, *more: object, name: str = "publisher") -> Server:
        """Plays a clip in a loop, at its own speed, packets unchanged."""
        command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-re", "-stream_loop", "-1", "-i", clip]
        return self.run(name, [*command, "-c", "copy", *more, "-f", form, url])

    def publish_udp(self, clip: Path, port: int, *more: object, name: str = "publisher") -> Server:
        return self.publish(clip, "mpegts", f"udp://127.0.0.1:{port}?pkt_size=1316", *more, name=name)

    def rtsp(self, udp_port: int) -> tuple[Server, str]:
        port = free_port()
        server = self.run("rtsp", ["/usr/bin/python3", RTSP_SERVER, port, udp_port], port)
        return server, f"rtsp://127.0.0.1:{port}/live"

    def nginx(self) -> tuple[str, str]:
        """Addresses to publish to and to read HLS from."""
        rtmp, http = free_port(), free_port()
        (self.folder / "hls").mkdir()
        (self.folder / "nginx.conf").write_text(NGINX.format(here=self.folder, rtmp=rtmp, http=http))
        self.run("nginx", ["nginx", "-c", self.folder / "nginx.conf", "-p", self.folder], rtmp)
        return f"rtmp://127.0.0.1:{rtmp}/live/clip", f"http://127.0.0.1:{http}/hls/clip.m3u8"

    def srt(self, udp_port: int) -> str:
        port = free_port(socket.SOCK_DGRAM)
        address = f"srt://127.0.0.1:{port}"
        source = f"udp://127.0.0.1:{udp_port}"
        self.run("srt", ["srt-live-transmit", "-q", source, f"{address}?mode=listener&latency=120"])
        return address

    def close(self) -> None:
        for server in reversed(self._servers):
            server.kill()
