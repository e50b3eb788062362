"""The ways that are compared: the command of each, the rows that it writes, and the lines that its user writes."""

from __future__ import annotations

import ast
import io
import json
import sys
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import environments
import numpy as np
from work import LABELS

from streammm.journal import EMBEDDINGS
from streammm.kept import kept_of
from streammm.run_directory import journal_of

HERE = Path(__file__).parent
_RUN = [sys.executable, "-c", "from streammm.cli import main; main()", "run"]
_PROBE = ("labels=[]", "encoders.video=probe:Pictures", "encoders.audio=probe:Sound", "output.embeddings=true")
_NO_TOKENS = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


@dataclass(frozen=True)
class Peer:
    """A program in this folder with the modules that are part of it, and the environment that it runs in."""

    name: str
    modules: tuple[str, ...]
    environment: str = ""
    is_framework: bool = True

    def command(
        self, sources: Sequence[Path], out: Path, precision: str, folder: Path, probe: bool = False
    ) -> list[str]:
        """What does the work and writes to ``out``; the environments are in ``folder``."""
        python = environments.python(self.environment, folder)
        options = ["--out", str(out), "--precision", precision, *(["--probe"] if probe else [])]
        return [str(python), str(HERE / f"{self.modules[0]}.py"), *options, *map(str, sources)]

    def results(self, out: Path) -> Path:
        """The file in which rows appear."""
        return out

    def probed(self, out: Path) -> list[dict[str, Any]]:
        """The rows of a run that probed."""
        return self.rows(out)

    def rows(self, out: Path) -> list[dict[str, Any]]:
        """The rows of a run, as far as it came."""
        path = self.results(out)
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def num_lines(self) -> int:
        """Lines that its user writes, without blank ones, comments and docstrings."""
        return sum(code_lines((HERE / f"{module}.py").read_text()) for module in self.modules)


@dataclass(frozen=True)
class Ours(Peer):
    """The command of streammm, with options."""

    options: tuple[str, ...] = ()

    def command(
        self, sources: Sequence[Path], out: Path, precision: str, folder: Path, probe: bool = False
    ) -> list[str]:
        settings = ["runtime.backend=openvino", f"runtime.precision={precision}", "fusion.smoothing_seconds=0"]
        settings += _PROBE if probe else [f"labels={json.dumps(LABELS)}"]
        sets = [word for setting in settings for word in ("--set", setting)]
        return [*_RUN, *map(str, sources), *self.options, *sets, "--out", str(out), "--fresh"]

    def results(self, out: Path) -> Path:
        return out / "results.jsonl"

    def probed(self, out: Path) -> list[dict[str, Any]]:
        return list(_probed(out))

    def num_lines(self) -> int:
        return 1


def programs() -> dict[str, Peer]:
    """All that are compared, ours first."""
    return {
        "streammm": Ours("streammm", (), is_framework=False),
        "streammm_ray": Ours("streammm --ray", (), is_framework=False, options=("--ray=local",)),
        "plain": Peer("plain script", ("plain", "decode"), is_framework=False),
        "ray_data": Peer("Ray Data", ("ray_data", "decode")),
        "daft": Peer("Daft", ("daft_", "decode"), "daft"),
        "pixeltable": Peer("Pixeltable", ("pixeltable_", "pixeltable_functions", "decode"), "pixeltable"),
    }


def _probed(out: Path) -> Iterator[dict[str, Any]]:
    """What the encoders of `probe` were given, from the journal."""
    _, journal = journal_of(out)
    position = 0
    while entries := journal.read(position, kind=EMBEDDINGS):
        for entry in entries:
            kept = kept_of(entry)
            seen = np.asarray(kept.vectors.get("video", ()), np.float64)
            seen = seen[np.isfinite(seen)].reshape(-1, 5)
            heard = kept.vectors.get("audio", [0.0])
            yield {
                "source": kept.source,
                "segment": kept.segment,
                "seconds": seen[:, 0].tolist(),
                "quarters": seen[:, 1:].tolist(),
                "rms": float(heard[0]),
            }
        position = entries[-1].position
    journal.close()


def code_lines(text: str) -> int:
    """How many lines of a program are code: not blank, no comment and no docstring."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_TOKENS:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            lines -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return len(lines)
