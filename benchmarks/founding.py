"""The founding model on digits written and spoken: python benchmarks/founding.py MEDIA [--out DIR] [--heard]

MEDIA holds ``avdigits``. Beside a link to each clip its spoken word is put as a caption, as long as it is heard, and
``configs/founding_cnn_rnn.yaml`` is trained by `streammm train` on takes 15 to 44; takes 45 to 49 choose the epoch and
are judged by. The sound itself is not listened to. Captions name the digit, so text alone has only to be looked up:
what is learned of pictures shows in the line of the picture alone. With ``--heard`` there are no captions, and the text
is what whisper:tiny.en recognises in the sound, right or wrong.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = "zero one two three four five six seven eight nine".split()
CONFIG = Path(__file__).parents[1] / "configs" / "founding_cnn_rnn.yaml"


def main() -> None:
    """Trains and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("media", type=Path)
    parser.add_argument("--out", type=Path, help="where the model is kept; by default it is not")
    parser.add_argument("--heard", action="store_true", help="text is recognised in the sound")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lay_out(arguments.media / "avdigits", folder, captions=not arguments.heard)
        out = arguments.out or folder / "model"
        command = ["train", folder / "labels.csv", "--media", folder, "--config", CONFIG, "--out", out]
        if arguments.heard:
            command += ["--set", "speech.recogniser=whisper:tiny.en"]
        started = time.monotonic()
        program = [sys.executable, "-c", "from streammm.cli import main; main()"]
        subprocess.run([*program, *map(str, command)], check=True, stdout=subprocess.DEVNULL)
        minutes = (time.monotonic() - started) / 60
        report = json.loads((out / "metrics.json").read_text())
    alone = {case: judged["value"] for case, judged in report["by_modality"].items()}
    print(f"{'text':10} {'both':>7} {'picture':>8} {'text':>7} {'clips':>6} {'minutes':>8}")
    print(
        f"{'heard' if arguments.heard else 'captions':10} {report['figures']['accuracy']['value']:7.4f} "
        f"{alone['only video']:8.4f} {alone['only text']:7.4f} {report['num_sources']:6} {minutes:8.1f}"
    )


def lay_out(media: Path, folder: Path, captions: bool) -> None:
    """Links the clips into a folder, beside their labels and, if wanted, captions."""
    lines = ["file,label,split"]
    with (media / "labels.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            take = int(row["take"])
            if take < 15:
                continue
            clip = folder / Path(row["path"]).name
            clip.symlink_to((media / row["path"]).resolve())
            lines.append(f"{clip.name},{row['label']},{'validation' if take >= 45 else 'train'}")
            if captions:
                times = f"{stamp(float(row['audio_onset']))} --> {stamp(float(row['duration']))}"
                clip.with_suffix(".srt").write_text(f"1\n{times}\n{WORDS[int(row['label'])]}\n")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


def stamp(seconds: float) -> str:
    """A time as captions write it."""
    return f"00:00:{seconds:06.3f}".replace(".", ",")


if __name__ == "__main__":
    main()
