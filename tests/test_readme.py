"""README's commands, run as written, and what it says about the code."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from streammm.schema import FORMS
from streammm.types import Status
from tests.conftest import write_clip

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    """Every `streammm` command, but those that join a cluster somewhere else."""
    lines = [line.split("  #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("streammm ") and not re.search(r"--ray \d", line)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as README takes it for granted: a talk, a folder of films, the configurations."""
    folder = tmp_path_factory.mktemp("readme")
    write_clip(folder / "talk.mp4", 4.0)
    (folder / "films").mkdir()
    write_clip(folder / "films" / "one.mkv", 2.0)
    (folder / "configs").symlink_to(ROOT / "configs")
    return folder


def test_the_commands_are_found() -> None:
    assert len(commands()) >= 7


@pytest.mark.parametrize("command", [pytest.param(c, marks=pytest.mark.ray) if "--ray" in c else c for c in commands()])
def test_a_command_works_as_written(place: Path, command: str) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", command], cwd=place, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_the_python_example_works(place: Path) -> None:
    (code,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=place, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2


def test_what_is_shown_has_the_form_of_what_is_written() -> None:
    row, event = map(json.loads, blocks("json"))
    FORMS["row"].model_validate(row)
    FORMS["event"].model_validate(event)
    assert sum(entry["score"] for entry in row["labels"]) + row["other"] == pytest.approx(1.0, abs=1e-5)
    assert {m["status"] for m in row["modalities"].values()} <= set(Status)


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"(?:`|\$ |^)make (\w+)", README, re.MULTILINE))
    assert targets == {"bench", "demo", "docs", "test", "check", "servers"}
    assert all(f"\n{target}: " in makefile for target in targets)


def test_the_places_that_are_named_exist() -> None:
    for place in re.findall(r"`((?:streammm|workers|configs|docker|benchmarks)/[\w./]*)", README):
        assert (ROOT / place).exists(), place
