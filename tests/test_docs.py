"""The API reference is built from docstrings, with every warning an error, and shows what is public."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import streammm

ROOT = Path(__file__).parents[1]


def test_the_api_reference_shows_all_that_is_public(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "docs" / "api.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "streammm.html").read_text()
    for name in set(streammm.__all__) - {"__version__"}:
        assert f'id="{name}"' in page
    text = re.sub(r"<[^>]+>", "", (tmp_path / "streammm" / "types.html").read_text())
    assert "uint8 [T, H, W, 3], RGB" in text
    assert "ConfigError" in (tmp_path / "streammm" / "runs.html").read_text()


def test_a_name_without_a_docstring_fails_the_build(tmp_path: Path) -> None:
    code = (
        "import runpy, sys, streammm.runs\n"
        "def silent(self): pass\n"
        "streammm.runs.Run.silent = silent\n"
        f"sys.argv = ['api.py', {str(tmp_path)!r}]\n"
        f"runpy.run_path({str(ROOT / 'docs' / 'api.py')!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode != 0
    assert "no docstring: streammm.runs.Run.silent" in done.stderr
