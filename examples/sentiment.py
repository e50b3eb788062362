"""Is what is said good or bad? Captions where there are some, else speech, judged by meaning; nothing is trained.

    python examples/sentiment.py talk.mp4

Prints a line for each six seconds in which something is said: when, good, bad or neither, and the words.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import streammm
from streammm.config import load
from streammm.types import Classification

GOOD = "great, wonderful, I am happy about it"
BAD = "terrible, awful, I am sad or angry about it"
"""Of a dozen sentences good, bad and plain, each was nearest to its own in meaning; "positive" and "negative" mixed up
one in three."""

LEAST_SCORE = 0.002
"""Plain sentences score less than this for both, good and bad ones more for one."""

CONFIG = load(
    labels=(GOOD, BAD),
    settings=[
        "segment.length_seconds=6",
        "fusion={weights: {video: 0, audio: 0, text: 1}, smoothing_seconds: 0}",
        "speech.recogniser=whisper:tiny.en",
        "output.text=true",
    ],
)


def sentiments(source: str) -> Iterator[tuple[Classification, str, str]]:
    """Rows in which something is said, each with its sentiment and the words."""
    for row in streammm.classify(source, config=CONFIG):
        if words := " ".join(cue.text for cue in row.modalities["text"].cues):
            label, score = row.labels[0]
            sentiment = "neither" if score < LEAST_SCORE else "good" if label == GOOD else "bad"
            yield row, sentiment, words


if __name__ == "__main__":
    for row, sentiment, words in sentiments(sys.argv[1]):
        print(f"{row.start_seconds:7.1f} s  {sentiment:8} {words}")
