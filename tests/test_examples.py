"""The examples, on media that is made here."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import wave
from pathlib import Path

import av
import numpy as np
import pytest

import streammm
from streammm.config import load
from tests.conftest import MakeClip
from tests.kept_runs import made_source, write_run
from tests.test_async import free_port

EXAMPLES = Path(__file__).parents[1] / "examples"
SENTENCES = (
    "What a wonderful day. I am so happy that we won the prize.",
    "The train to London leaves from platform four.",
    "This is terrible. I hate waiting, and the service is awful.",
)


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """A sentence every six seconds, spoken by a machine."""
    if shutil.which("espeak-ng") is None:
        reason = "espeak-ng is not installed, which speaks here; make servers installs it"
        (pytest.fail if os.environ.get("STREAMMM_NO_SKIP") else pytest.skip)(reason)
    with wave.open(str(tmp_path / "talk.wav"), "wb") as talk:
        for sentence in SENTENCES:
            spoken = tmp_path / "sentence.wav"
            subprocess.run(["espeak-ng", "-v", "en-us", "-s", "150", "-w", str(spoken), sentence], check=True)
            with wave.open(str(spoken)) as part:
                if not talk.getnframes():
                    talk.setparams(part.getparams())
                samples = part.readframes(part.getnframes())
            talk.writeframes(samples.ljust(6 * part.getframerate() * part.getsampwidth(), b"\0"))
    return tmp_path / "talk.wav"


def example(name: str, *arguments: object) -> list[str]:
    """The lines that an example prints."""
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_sentiment_of_what_is_said(talk: Path) -> None:
    lines = [line.split(maxsplit=3) for line in example("sentiment.py", talk)]
    assert [(line[0], line[2]) for line in lines] == [("0.0", "good"), ("6.0", "neither"), ("12.0", "bad")]
    assert "london" in lines[1][3].lower()


def test_a_file_is_classified_line_by_line(clip: MakeClip) -> None:
    lines = example("classify_file.py", clip("a.mp4", 5.0, loudness=0.5), "telephone", "speech")
    assert [line.split()[0] for line in lines] == ["0.0", "2.0", "4.0"]
    assert all("telephone" in line and "(ok)" in line for line in lines)


def test_live_sources_are_watched_until_somebody_interrupts(clip: MakeClip) -> None:
    """A tone of 440 Hz, which sounds as telephones do: over UDP beside a file, whose end does not end the other."""
    film = clip("a.ts", 60.0, rate=5, loudness=0.5, audio="mp2", video="mpeg2video")
    address = f"udp://127.0.0.1:{free_port()}"
    ended = threading.Event()
    sender = threading.Thread(target=send, args=(film, address, ended))
    sender.start()
    command = [
        sys.executable,
        str(EXAMPLES / "watch_live.py"),
        "telephone",
        address,
        str(clip("b.mp4", 3.0, loudness=0.5)),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        watchdog = threading.Timer(120, watching.kill)
        watchdog.start()
        lines: list[str] = []
        assert watching.stdout is not None
        while not {line.partition(": ")[0] for line in lines} >= {*command[-2:]}:
            lines.append(watching.stdout.readline())
            assert lines[-1], watching.communicate()[1]
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 0
        watchdog.cancel()
    ended.set()
    sender.join()
    assert all(line.endswith("telephone begins\n") for line in lines)


def send(film: Path, address: str, ended: threading.Event) -> None:
    """Sends a film in MPEG-TS as fast as it plays."""
    with av.open(str(film)) as source, av.open(address, "w", format="mpegts") as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        started = time.monotonic()
        for packet in source.demux():
            if packet.dts is None:
                continue
            ended.wait(max(0.0, started + float(packet.dts * packet.time_base) - 2 - time.monotonic()))
            if ended.is_set():
                return
            packet.stream = streams[packet.stream.index]
            out.mux(packet)


def test_a_run_is_summed_up_in_pandas(tmp_path: Path) -> None:
    write_run(tmp_path / "run", load(labels="music,speech"), {"a.mp4": made_source("a.mp4", 40)})
    text = example("run_in_pandas.py", tmp_path / "run")
    totals = dict(line.rsplit(maxsplit=1) for line in text if len(line.split()) == 2)
    with streammm.open_run(tmp_path / "run") as run:
        best = [row for row in run.rows() if row.labels[0][1] > row.other]
    wanted: dict[str, float] = {}
    for row in best:
        wanted[row.labels[0][0]] = wanted.get(row.labels[0][0], 0.0) + row.end_seconds - row.start_seconds
    assert {label: float(totals[label]) for label in wanted} == pytest.approx(wanted)
    assert len(wanted) > 0


def test_an_encoder_of_ones_own_says_which_colour_there_is(tmp_path: Path) -> None:
    colours = [(200, 40, 40), (40, 40, 200), (120, 120, 120), (40, 200, 40)]
    path = tmp_path / "colours.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for n in range(40):
            picture = np.full((48, 64, 3), colours[n // 10], np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(stream.encode(None))
    lines = [line.split() for line in example("own_encoder.py", path)]
    assert [line[2] for line in lines] == ["red", "blue", "grey", "green"]
