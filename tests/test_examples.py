"""The examples, on speech that is made here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import pytest

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


def test_sentiment_of_what_is_said(talk: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "sentiment.py"), str(talk)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split(maxsplit=3) for line in done.stdout.splitlines()]
    assert [(line[0], line[2]) for line in lines] == [("0.0", "good"), ("6.0", "neither"), ("12.0", "bad")]
    assert "london" in lines[1][3].lower()
