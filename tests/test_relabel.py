"""Other labels for a run that kept its embeddings: rows and events that a run with them would have made, no others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from streammm.config import Config, load
from streammm.errors import ConfigError
from streammm.forget import forget
from streammm.fusion.card import ModelCard
from streammm.fusion.trained import save_model
from streammm.journal import EMBEDDINGS, Entry, Journal
from streammm.kept import kept_of
from streammm.relabel import default_place, relabel, relabelled_config
from streammm.run_directory import journal_of
from tests.conftest import MakeClip
from tests.kept_runs import Made, made_source, write_run

KEEPS = ["output.embeddings=true"]
LABELS = ("speech", "music", "dog barking", "a crowd cheering")
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def sources() -> dict[str, Made]:
    """One that is longer than what is read at once, one with an outage, two given up, one that is still to do."""
    return {
        "films/long.mp4": made_source("films/long.mp4", 200),
        "rtsp://camera/live": made_source("rtsp://camera/live", 21, outage_at=9, seed=1),
        "films/broken.mp4": made_source("films/broken.mp4", 17, given_up="undecodable", seed=2),
        "films/failed.mp4": made_source("films/failed.mp4", 5, given_up="encoder-failed", seed=3),
        "films/going_on.mp4": made_source("films/going_on.mp4", 30, seed=4).first(11),
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, sources: dict[str, Made]) -> Path:
    """A run over them with the general labels."""
    path = tmp_path_factory.mktemp("runs") / "kept"
    write_run(path, load(settings=KEEPS), sources, skipped=["films/short.mp4"])
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with weights at random that looks two segments ahead, for sound and pictures."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "model"
    encoders = {"audio": "yamnet", "video": "efficientnet_lite0"}
    card = ModelCard(
        task="multi_class", labels=("a", "b", "c"), dims={"audio": 1024, "video": 1280}, encoders=encoders, look_ahead=2
    )
    save_model(path, card, card.network())
    (path / "config.yaml").write_text(yaml.safe_dump({"encoders": encoders}))
    return path


def entries_of(path: Path) -> list[Entry]:
    with closing(journal_of(path)[1]) as journal:
        return journal.read(0, 10_000)


def difference(found: Any, wanted: Any) -> float:
    """How far the scores of two rows are apart; whatever else differs fails."""
    if isinstance(wanted, float):
        return abs(found - wanted)
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        return max((difference(found[k], v) for k, v in wanted.items() if k != "latency_seconds"), default=0.0)
    if isinstance(wanted, list) and wanted and "score" in wanted[0]:
        ours, theirs = ({e["label"]: e["score"] for e in labels} for labels in (found, wanted))
        return difference(ours, theirs)
    assert found == wanted
    return 0.0


def check_same(found: Path, wanted: Path) -> None:
    """That two runs hold the same: rows, what was given up, how each source stands."""
    theirs = {(e.source, e.segment, e.kind, e.item): json.loads(e.text) for e in entries_of(wanted)}
    ours = {(e.source, e.segment, e.kind, e.item): json.loads(e.text) for e in entries_of(found)}
    assert ours.keys() == theirs.keys()
    assert max(difference(ours[key], theirs[key]) for key in theirs) <= TOLERANCE
    with closing(journal_of(found)[1]) as a, closing(journal_of(wanted)[1]) as b:
        states = [
            {s.name: (s.status, s.reason, s.counted.num_segments, s.counted.num_errors) for s in j.sources()}
            for j in (a, b)
        ]
        assert states[0] == states[1]
        assert a.meta("sources") == b.meta("sources") == ["films"]


def test_other_labels_give_the_rows_of_a_run_with_them(tmp_path: Path, run: Path, sources: dict[str, Made]) -> None:
    config = relabelled_config(run, ",".join(LABELS), settings=["fusion.smoothing_seconds=4", "events.open_score=0.1"])
    counts: list[int] = []
    done = relabel(run, config, tmp_path / "new", tell=counts.append)
    assert (done.num_sources, done.num_rows, done.num_unfinished) == (6, 254, 1)
    assert sum(counts) == 254
    write_run(tmp_path / "wanted", config, sources, skipped=["films/short.mp4"])
    check_same(tmp_path / "new", tmp_path / "wanted")
    rows = [json.loads(line) for line in (tmp_path / "new" / "results.jsonl").read_text().splitlines()]
    assert len(rows) == 254
    told = [json.loads(line) for line in (tmp_path / "new" / "events.jsonl").read_text().splitlines()]
    assert {event["state"] for event in told} >= {"open", "close"}
    assert {label["label"] for row in rows for label in row["labels"]} == set(LABELS)
    assert [row["outage"] for row in rows if "outage" in row] == ["the camera was off"]
    given_up = [json.loads(line) for line in (tmp_path / "new" / "quarantine.jsonl").read_text().splitlines()]
    assert sorted(g["reason"] for g in given_up if "segment" not in g) == ["encoder-failed", "undecodable"]


def test_a_model_gives_the_rows_of_a_run_with_it_though_it_looks_ahead(
    tmp_path: Path, run: Path, model: Path, sources: dict[str, Made]
) -> None:
    config = relabelled_config(run, model=model)
    relabel(run, config, tmp_path / "new")
    write_run(tmp_path / "wanted", config, sources, skipped=["films/short.mp4"])
    check_same(tmp_path / "new", tmp_path / "wanted")


def test_what_was_stopped_and_a_run_that_goes_on_are_taken_up(tmp_path: Path, model: Path) -> None:
    whole = {name: made_source(name, 150, seed=n) for n, name in enumerate(("a.mp4", "b.mp4"))}
    begun = {"a.mp4": whole["a.mp4"], "b.mp4": whole["b.mp4"].first(70)}
    write_run(tmp_path / "run", load(settings=KEEPS), begun)
    config = relabelled_config(tmp_path / "run", model=model)

    def stop(more: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        relabel(tmp_path / "run", config, tmp_path / "new", tell=stop)
    assert len(entries_of(tmp_path / "new")) > 0
    assert relabel(tmp_path / "run", config, tmp_path / "new").num_unfinished == 1
    write_run(tmp_path / "run", load(settings=KEEPS), {"b.mp4": whole["b.mp4"]})
    assert relabel(tmp_path / "run", config, tmp_path / "new").num_rows == 300
    write_run(tmp_path / "wanted", config, whole)
    check_same(tmp_path / "new", tmp_path / "wanted")
    lines = (tmp_path / "new" / "results.jsonl").read_text().splitlines()
    assert len(lines) == len({json.loads(line)["id"] for line in lines}) == 300


def test_a_place_with_other_labels_is_left_alone(tmp_path: Path, run: Path) -> None:
    relabel(run, relabelled_config(run, "music"), tmp_path / "new")
    with pytest.raises(ConfigError, match="other settings"):
        relabel(run, relabelled_config(run, "speech"), tmp_path / "new")
    relabel(run, relabelled_config(run, "speech"), tmp_path / "new", fresh=True)
    assert json.loads(entries_of(tmp_path / "new")[0].text)["labels"][0]["label"] == "speech"
    places = {default_place(run, relabelled_config(run, label)) for label in ("speech", "music")}
    assert len(places) == 2
    assert {place.parent for place in places} == {run.parent}


def refused(run: Path, tmp_path: Path, config: Config) -> str:
    with pytest.raises(ConfigError) as error:
        relabel(run, config, tmp_path / "new")
    assert not (tmp_path / "new" / "journal.sqlite").exists()
    return str(error.value)


def test_what_the_embeddings_cannot_answer_is_refused(tmp_path: Path, run: Path, model: Path) -> None:
    bare = tmp_path / "bare"
    write_run(bare, load(), {"a": made_source("a", 2)})
    assert "output.embeddings=true" in refused(bare, tmp_path, relabelled_config(bare, "music"))
    text = refused(run, tmp_path, relabelled_config(run, "music", settings=["segment.length_seconds=4"]))
    assert "segment.length_seconds: kept with 2.0, asked for with 4.0" in text
    assert "no words" in refused(run, tmp_path, relabelled_config(run, "music", settings=["output.text=true"]))
    other = tmp_path / "other"
    shutil.copytree(model, other)
    settings = {"encoders": {"audio": "yamnet", "video": "founding_cnn:f"}, "segment": {"frames_per_second": 1.0}}
    (other / "config.yaml").write_text(yaml.safe_dump(settings))
    text = refused(run, tmp_path, relabelled_config(run, model=other, settings=["fusion.weights={video: 0}"]))
    assert "segment.frames_per_second: kept with 2.0, asked for with 1.0" in text
    assert "encoders.video" not in text
    seen = tmp_path / "seen"
    write_run(seen, load(settings=[*KEEPS, "fusion.weights={audio: 0, text: 0}"]), {"a": made_source("a", 2)})
    text = refused(seen, tmp_path, relabelled_config(seen, "music", settings=["fusion.weights={audio: 1}"]))
    assert "kept no embeddings of audio" in text
    assert "name another" in refused_in_place(run)


def refused_in_place(run: Path) -> str:
    with pytest.raises(ConfigError) as error:
        relabel(run, relabelled_config(run, "music"), run)
    return str(error.value)


@pytest.mark.parametrize("damage", ["text", "bytes", "missing"])
def test_embeddings_that_are_damaged_are_said_and_nothing_is_made_up(tmp_path: Path, damage: str) -> None:
    write_run(tmp_path / "run", load(settings=KEEPS), {"a": made_source("a", 4)})
    change = {
        "text": "update entries set text = 'no json' where kind = 'embeddings' and segment = 2",
        "bytes": 'update entries set text = replace(text, \'"audio": "eA\', \'"audio": "eB\') where segment = 2',
        "missing": "delete from entries where kind = 'embeddings' and segment = 2",
    }[damage]
    with closing(Journal(f"sqlite:///{tmp_path}/run/journal.sqlite")) as journal, journal._begin() as connection:
        assert connection.exec_driver_sql(change).rowcount
    with pytest.raises(ConfigError, match=r"of a\b"):
        relabel(tmp_path / "run", relabelled_config(tmp_path / "run", "music"), tmp_path / "new")
    assert not [e for e in entries_of(tmp_path / "new") if e.segment is not None and e.segment >= 2]


def test_a_run_is_relabelled_on_the_command_line_without_its_media(
    streammm: Callable[..., Any], clip: MakeClip, tmp_path: Path
) -> None:
    (tmp_path / "films").mkdir()
    clip("films/a.mkv", 5.0, clicks=[1.0, 3.0], cues=[(0.5, 3.0, "A dog barks at the moon.")])
    clip("films/b.mkv", 3.0, audio=None)
    (tmp_path / "films" / "broken.mp4").write_bytes(b"nothing" * 99)
    labels = ("--labels", "beep,dog barking,blank wall")
    assert streammm("run", "films", "--out", "kept", "--set", "output.embeddings=true").returncode == 1
    assert streammm("run", "films", "--out", "wanted", *labels).returncode == 1
    shutil.rmtree(tmp_path / "films")
    done = streammm("relabel", "kept", *labels, "--out", "new")
    assert done.returncode == 0, done.stderr
    assert "5 segments of 3 sources; rows are in new/results.jsonl" in done.stdout
    check_same(tmp_path / "new", tmp_path / "wanted")
    nothing = streammm("relabel", "kept")
    assert (nothing.returncode, "--labels, --model or --set" in nothing.stderr) == (2, True)


def test_scores_move_less_than_the_tolerance_by_what_is_kept(run: Path, sources: dict[str, Made]) -> None:
    made = sources["films/long.mp4"]
    with closing(journal_of(run)[1]) as journal:
        found = [kept_of(e) for e in journal.read(0, 200, source="films/long.mp4", kind=EMBEDDINGS)]
    for n, kept in enumerate(found):
        for modality, vectors in kept.vectors.items():
            exact = made.embeddings[modality]
            np.testing.assert_allclose(vectors, exact.vectors[n], rtol=2**-17, atol=0)
            np.testing.assert_allclose(kept.tags[modality], exact.tags[n], rtol=2**-17, atol=0)
    assert sorted(found[0].vectors) == ["audio", "text", "video"]
    assert sorted(found[2].vectors) == ["audio"]


def test_what_was_forgotten_or_removed_is_not_made_again(tmp_path: Path, sources: dict[str, Made]) -> None:
    old, new = tmp_path / "run", tmp_path / "new"
    write_run(old, load(settings=KEEPS), sources)
    config = relabelled_config(old, "music")
    relabel(old, config, new)
    forget(new, ["films/long.mp4"])
    relabel(old, config, new)
    assert "films/long.mp4" not in {entry.source for entry in entries_of(new)}

    with closing(journal_of(old)[1]) as journal:
        upto, counts, _ = journal.removable([], None, 0.5)
        num_rows = sum(1 for entry in journal.read(0, 10_000, kind="row"))
        journal.remove_up_to(upto, {})
    made = relabel(old, config, tmp_path / "newer")
    assert 0.4 * num_rows < counts["row"] < 0.6 * num_rows
    assert len([entry for entry in entries_of(tmp_path / "newer") if entry.kind == "row"]) == num_rows - counts["row"]
    assert made.num_sources == len(sources)


def test_a_model_does_not_undo_the_privacy_of_a_run(tmp_path: Path, sources: dict[str, Made], model: Path) -> None:
    private = load(settings=[*KEEPS, "privacy.keeps=embeddings", "retention.max_age_days=9"])
    write_run(tmp_path / "run", private, sources)
    config = relabelled_config(tmp_path / "run", model=model)
    assert (config.privacy.keeps, config.retention.max_age_days) == ("embeddings", 9.0)
