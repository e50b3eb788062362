"""What may leave the workers: nothing of a picture, of sound or of words, if a configuration says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streammm.building.encoders import make_encoder
from streammm.config import load
from streammm.errors import ConfigError
from streammm.types import Cue, Embeddings, Segment
from streammm_workers.encode import EncodeWorker
from streammm_workers.pictures import Pictures
from streammm_workers.shard import Shard
from tests.conftest import MakeClip
from tests.workers.fakes import segment

WORD = "swordfish"
TO = ("--to", "rows.csv", "--to", "sqlite:///rows.sqlite", "--to", "parquet:parts", "--to", "webvtt:tracks")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("privacy.keeps=embeddings", "output.text=true"), "output.text writes what is said, and privacy.keeps is emb"),
        (("privacy.keeps=scores", "output.text=true"), "output.text writes what is said, and privacy.keeps is scores"),
        (("privacy.keeps=scores", "output.embeddings=true"), "output.embeddings keeps embeddings, and privacy.keeps"),
        (("privacy.keeps=nothing",), "privacy.keeps: input should be 'everything', 'embeddings' or 'scores'"),
        (("retention.max_size_mb=1", "output.journal=postgresql+psycopg://h/n"), "retention.max_size_mb is for a jour"),
        (("retention.max_age_days=0",), "retention.max_age_days: input should be greater than 0"),
    ],
)
def test_what_contradicts_is_refused(settings: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(settings=settings)
    assert message in str(caught.value)


def test_encoders_that_hand_pixels_on_are_refused() -> None:
    config = load(settings=["privacy.keeps=embeddings", "output.embeddings=true", "encoders.video=small"])
    with pytest.raises(ConfigError, match=r"encoders\.video: small hands on what it looks at"):
        make_encoder(config, "video")


class Quoting:
    """Fails on whatever it reads, and says on what; and hears words."""

    name, modality, dim, classes = "quoting", "text", 1, ()

    def encode(self, segments: list[Segment]) -> Embeddings:
        if segments[0].cues:
            raise ValueError(f"cannot read {segments[0].text}")
        nothing = np.zeros((len(segments), 1), np.float32)
        words = ((Cue(0.0, 1.0, WORD),),) * len(segments)
        return Embeddings("text", nothing, nothing[:, :0], np.ones(len(segments), np.bool_), words)


@pytest.mark.parametrize(("keeps", "leaves"), [("everything", True), ("embeddings", False), ("scores", False)])
def test_words_do_not_leave_the_encoder_in_errors_or_beside_embeddings(keeps: str, leaves: bool) -> None:
    worker = EncodeWorker(load(settings=[f"privacy.keeps={keeps}"]), "text")
    worker._loaded = Quoting()
    (encoded,) = worker.encode([replace(segment(0), cues=(Cue(0.0, 1.0, WORD),))])
    assert encoded.failures[0].startswith("ValueError")
    assert (WORD in encoded.failures[0]) is leaves
    (encoded,) = worker.encode([segment(0)])
    assert (WORD in repr(encoded.embeddings.spoken)) is leaves
    assert encoded.embeddings.spoken[0][0].end_seconds == 1.0


@pytest.mark.parametrize(
    ("settings", "leaves"),
    [
        (("output.text=true",), True),
        (("privacy.keeps=embeddings", "output.embeddings=true"), False),
        (("privacy.keeps=scores",), False),
    ],
)
def test_a_run_its_sinks_and_its_report_hold_nothing_of_media(
    tmp_path: Path, clip: MakeClip, streammm: Callable[..., Any], settings: tuple[str, ...], leaves: bool
) -> None:
    media = clip("clip.mkv", 2.0, cues=[(0.2, 1.8, f"the word is {WORD}")])
    chosen = [part for setting in settings for part in ("--set", setting)]
    ran = streammm("run", media.name, "--out", "run", *TO, *chosen, "--labels", "tone,speech")
    assert ran.returncode == 0, ran.stderr
    reported = streammm("report", "run")
    assert reported.returncode == 0, reported.stderr

    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path != media}
    assert {"results.jsonl", "journal.sqlite", "rows.csv", "rows.sqlite", "report.html"} <= {p.name for p in written}
    told = b"".join(written.values()) + (ran.stdout + ran.stderr + reported.stdout + reported.stderr).encode()
    assert (WORD.encode() in told) is leaves
    page = (tmp_path / "run" / "report.html").read_text()
    assert ('"webp"' in page, '"peaks"' in page, '"src"' in page) == (leaves, leaves, leaves)
    (row,) = map(json.loads, (tmp_path / "run" / "results.jsonl").read_text().splitlines())
    assert row["modalities"]["text"]["status"] == "ok"
    assert row["modalities"]["text"]["cues"] == 1
    kept = b'"vectors"' in (tmp_path / "run" / "journal.sqlite").read_bytes()
    assert kept is ("output.embeddings=true" in settings)


@pytest.mark.parametrize(
    ("setting", "shown"), [("privacy.keeps=everything", 1), ("privacy.keeps=scores", 0), ("privacy.faces=blur", 0)]
)
def test_the_page_that_is_watched_has_no_pictures(setting: str, shown: int) -> None:
    shard = object.__new__(Shard)
    shard._config, shard._pictures = load(settings=[setting]), Pictures()
    assert len(shard.pictures()) == 0
    shard._pictures.put("a", b"jpeg")
    assert len(shard.pictures()) == shown
    assert shard._pictures.is_due("b") == bool(shown)  # else none is made
