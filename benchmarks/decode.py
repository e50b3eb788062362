"""What decoding costs, beside other ways of doing the same.

    python benchmarks/decode.py FILE... [--repeats 3] [--quick] [--json FILE]

Every way decodes a file on one thread, takes the picture shown at the same instants (two a second), scales it to 256
pixels and turns the sound into 16 kHz mono. Each is a process of its own, in alternating order; what an empty clip
costs is taken off. Shown is the median of CPU seconds a media second, with its ratio to plain PyAV. Ours is the reader
alone; `isolated` adds the process it runs in and the way back from it. torchcodec runs where it can be imported.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import av
from clips import make_media
from figures import Result

OURS = """
from streammm.media.options import DecodeOptions
from streammm.media.reader import SegmentReader
with SegmentReader(PATH, DecodeOptions(mode=MODE)) as reader:
    COUNT = sum(len(segment.frames) for segment in reader)
"""

ISOLATED = """
from streammm.media.options import DecodeOptions
from streammm.media.process import ProcessPool
from streammm.media.read import open_reader
options = DecodeOptions(mode=MODE)
pool = ProcessPool(options.limits)
with open_reader(PATH, options, pool=pool) as reader:
    COUNT = sum(len(segment.frames) for segment in reader)
pool.close()
"""

PYAV = """
import av
import numpy as np
COUNT, instant, last = 0, 0.25, None
with av.open(PATH) as container:
    video = container.streams.best("video")
    audio = container.streams.best("audio")
    video.codec_context.thread_count = 1
    video.thread_type = "SLICE"
    start = min(float(s.start_time * s.time_base) for s in (video, audio) if s is not None)
    resampler = av.AudioResampler("fltp", "mono", 16000)
    scale = 256 / min(video.codec_context.width, video.codec_context.height)
    size = round(video.codec_context.width * scale), round(video.codec_context.height * scale)
    for packet in container.demux([s for s in (video, audio) if s is not None]):
        for frame in packet.decode():
            if isinstance(frame, av.AudioFrame):
                for piece in resampler.resample(frame):
                    piece.to_ndarray()
                continue
            time = frame.time - start
            while last is not None and instant < time:
                last.reformat(*size, "rgb24", interpolation="AREA").to_ndarray()
                COUNT += 1
                instant += 0.5
            last = frame
while last is not None and instant < time + 1 / float(video.average_rate or 25):
    last.reformat(*size, "rgb24", interpolation="AREA").to_ndarray()
    COUNT += 1
    instant += 0.5
"""

FFMPEG = """
import subprocess
pictures = ["-map", "0:v:0", "-vf", "fps=2:round=near,scale=-2:256:flags=area", "-pix_fmt", "rgb24", "-f", "rawvideo"]
sound = ["-map", "0:a:0?", "-ac", "1", "-ar", "16000", "-f", "f32le", "/dev/null"]
command = ["ffmpeg", "-nostdin", "-loglevel", "quiet", "-y", "-threads", "1", "-filter_threads", "1", "-i", PATH]
subprocess.run([*command, *pictures, "/dev/null", *sound], check=False)
COUNT = -1
"""

TORCHCODEC = """
import numpy as np
from torchcodec.decoders import AudioDecoder, VideoDecoder
from torchcodec.transforms import Resize
with_scale = VideoDecoder(PATH, num_ffmpeg_threads=1, seek_mode="approximate")
height, width = with_scale.metadata.height, with_scale.metadata.width
scale = 256 / min(height, width)
decoder = VideoDecoder(PATH, num_ffmpeg_threads=1, transforms=[Resize((round(height * scale), round(width * scale)))])
start, end = decoder.metadata.begin_stream_seconds, decoder.metadata.end_stream_seconds
times = np.arange(start + 0.25, end, 0.5).tolist()
COUNT = sum(len(decoder.get_frames_played_at(times[n : n + 16])) for n in range(0, len(times), 16))
try:
    AudioDecoder(PATH, sample_rate=16000, num_channels=1).get_all_samples()
except ValueError:
    pass
"""


def ways() -> dict[str, str]:
    """Name -> program, with the path and the mode put in."""
    found = {
        "streammm": OURS.replace("MODE", "'exact'"),
        "isolated": ISOLATED.replace("MODE", "'exact'"),
        "fast": OURS.replace("MODE", "'fast'"),
        "keyframes": OURS.replace("MODE", "'keyframes'"),
        "PyAV": PYAV,
    }
    if shutil.which("ffmpeg"):
        found["ffmpeg"] = FFMPEG
    has_torchcodec = [sys.executable, "-c", "import torchcodec"]
    if subprocess.run(has_torchcodec, capture_output=True, check=False).returncode == 0:
        found["torchcodec"] = TORCHCODEC
    return found


def cpu_seconds(program: str, path: Path) -> tuple[float, int]:
    """CPU seconds of a program and all that it starts, and how many pictures it has seen."""
    code = f"PATH = {str(path)!r}\n{program}\nprint(COUNT)"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    if status:
        return float("nan"), 0
    return usage.ru_utime + usage.ru_stime, int(said)


def empty_clip(path: Path) -> Path:
    """A tenth of a second of nothing: what starting up costs."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for n in range(3):
            frame = av.VideoFrame(64, 64, "yuv420p")
            frame.pts = n
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="of the first file alone, as 20 s of 360p")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.files = arguments.files[:1]
    if len({path.name for path in arguments.files}) < len(arguments.files):
        parser.error("two files have the same name, which their figures go by")
    result = Result("decode")
    programs = ways()
    print(f"{'file':<32}{'seconds':>8}  " + "".join(f"{name:>20}" for name in programs))
    with tempfile.TemporaryDirectory() as folder:
        if arguments.quick:
            arguments.files = [make_media(arguments.files[0], Path(folder), "360p", 20.0)]
        nothing = empty_clip(Path(folder, "empty.mp4"))
        for path in arguments.files:
            with av.open(str(path)) as container:
                seconds = (container.duration or 0) / av.time_base
            spent: dict[str, list[float]] = {name: [] for name in programs}
            for repeat in range(arguments.repeats):
                for name in list(programs)[:: 1 if repeat % 2 else -1]:
                    idle = cpu_seconds(programs[name], nothing)[0]
                    spent[name].append(cpu_seconds(programs[name], path)[0] - idle)
            for name, values in spent.items():
                if not any(map(math.isnan, values + spent["PyAV"])):
                    found = [1000 * value / seconds for value in values]
                    result.add(f"{path.name}/{name}", "CPU ms a media second", found)
                    ratios = [value / plain for value, plain in zip(values, spent["PyAV"], strict=True)]
                    result.add(f"{path.name}/{name} of PyAV", "", ratios)
            median = {name: statistics.median(values) / seconds * 1000 for name, values in spent.items()}
            cells = [f"{value:9.1f} ({value / median['PyAV']:.2f})" for value in median.values()]
            print(f"{path.name:<32}{seconds:>8.1f}  " + "".join(f"{cell:>20}" for cell in cells), flush=True)
    print("CPU ms a media second (ratio to PyAV)")
    result.write(arguments.json)


if __name__ == "__main__":
    main()
