"""How many words the recognisers take wrong, and what they cost.

    python benchmarks/speech.py FOLDER [--recogniser pocketsphinx --recogniser whisper:tiny.en ...] [--lengths 2,5]

FOLDER is one with clips of the GRID corpus and their sentences in ``sentences.csv``. "whole" gives each clip to the
recogniser at once; with a length the clips are cut into segments of so many seconds as in a run, and the words of the
segments put together again. A word is wrong if it is another, missing or too many, after digits have become words.
A table goes to the standard output; nothing is asserted.
"""

from __future__ import annotations

import argparse
import csv
import re
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from streammm.encoders.text import MiniLM
from streammm.media.cutting import Windows
from streammm.media.options import DecodeOptions, SpeechWindow
from streammm.media.reader import SegmentReader
from streammm.speech import Recogniser, make_recogniser
from streammm.speech.text import ListeningReader
from streammm.types import Segment

_DIGITS = dict(zip("0123456789", "zero one two three four five six seven eight nine".split(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recogniser", action="append")
    parser.add_argument("--lengths", default="2,5")
    parser.add_argument("--before", type=float, default=3.0)
    arguments = parser.parse_args()
    with (arguments.folder / "sentences.csv").open() as file:
        sentences = {row.pop("file"): list(row.values()) for row in csv.DictReader(file)}
    window = SpeechWindow(Fraction(str(arguments.before)))
    print(f"{'recogniser':<16} {'cut':>6} {'word errors':>12} {'CPU ms per audio s':>19}")
    for name in arguments.recogniser or ["pocketsphinx", "whisper:tiny.en"]:
        recogniser = make_recogniser(name, language="en", device="cpu", threads=1)
        recogniser.setup()
        recogniser.recognise(np.zeros(16_000, np.float32))  # loads what is loaded at the first call
        for length in ("whole", *arguments.lengths.split(",")):
            wrong = words = 0
            cpu_seconds = audio_seconds = 0.0
            for file_name, sentence in sentences.items():
                segments = read(arguments.folder / file_name, "60" if length == "whole" else length, window)
                started = time.process_time()
                said = heard(recogniser, segments)
                cpu_seconds += time.process_time() - started
                audio_seconds += segments[-1].end_seconds
                wrong += distance(sentence, said)
                words += len(sentence)
            cut = length if length == "whole" else f"{length} s"
            print(f"{name:<16} {cut:>6} {wrong / words:>11.1%} {1000 * cpu_seconds / audio_seconds:>19.0f}", flush=True)


def read(path: Path, length: str, window: SpeechWindow) -> list[Segment]:
    """A file's segments with the sound around them, and without the captions that may lie beside it."""
    options = DecodeOptions(windows=Windows(Fraction(length), Fraction(length)), speech=window)
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder, path.name)
        alone.symlink_to(path.absolute())
        with SegmentReader(str(alone), options) as reader:
            return [segment.only("audio", "text") for segment in reader]


def heard(recogniser: Recogniser, segments: Sequence[Segment]) -> list[str]:
    """The words of all segments, in lower case, digits as words."""
    reader = ListeningReader(MiniLM(), recogniser)
    text = " ".join(word.text for segment in segments for word in reader.words(segment)).lower()
    text = re.sub(r"\d", lambda digit: f" {_DIGITS[digit[0]]} ", text)
    return re.sub(r"[^a-z' ]", " ", text).split()


def distance(sentence: Sequence[str], said: Sequence[str]) -> int:
    """Levenshtein's distance in words."""
    row = list(range(len(said) + 1))
    for i, word in enumerate(sentence, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(said, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


if __name__ == "__main__":
    main()
