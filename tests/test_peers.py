"""What the comparison with others is judged by: the clips with faults, and how rows about them are judged."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from streammm.media.options import DecodeOptions
from streammm.media.reader import SegmentReader

PEERS = Path(__file__).parents[1] / "benchmarks" / "peers"
NUM_SEGMENTS = {
    "ordinary": 6,
    "truncated": 4,
    "audio only": 6,
    "no sound": 6,
    "damaged": 6,
    "uneven rate": 6,
    "turned": 6,
}


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(PEERS))
    return importlib.import_module


def probed(module, path):
    """What our reader makes of a clip, as rows."""
    work = module("work")
    with SegmentReader(str(path), DecodeOptions()) as reader:
        return [
            {
                "source": s.source,
                "segment": s.index,
                "seconds": list(s.frame_seconds),
                "quarters": [work.quarters(frame) for frame in s.frames],
                "rms": work.loudness(s.waveform),
            }
            for s in reader
        ]


def test_every_segment_of_a_faulty_clip_is_right(module, tmp_path):
    made = module("faults").make_faults(tmp_path)
    assert {name: len(fault.truths) for name, fault in made.items()} == NUM_SEGMENTS
    assert {name: fault.num_right(probed(module, fault.path)) for name, fault in made.items()} == NUM_SEGMENTS


def test_what_is_wrong_is_not_right(module, tmp_path):
    faults = module("faults")
    made = faults.make_faults(tmp_path)
    rows = probed(module, made["ordinary"].path)
    louder = [{**row, "rms": 1.2 * row["rms"]} for row in rows]
    brighter = [{**row, "quarters": [[q + 8 for q in of] for of in row["quarters"]]} for row in rows]
    late = [{**row, "segment": row["segment"] + 1} for row in rows]
    for wrong in (louder, brighter, late, rows + rows, [{**row, "quarters": [], "seconds": []} for row in rows]):
        assert made["ordinary"].num_right(wrong) == 0
    assert made["ordinary"].num_right(rows[:2]) == 2
    assert made["turned"].num_right([{**row, "source": "turned.mp4"} for row in rows]) == 0
    assert made["audio only"].num_right([{**row, "source": "audio_only.mp4"} for row in rows]) == 0


def test_lines_of_code_are_neither_comments_nor_docstrings(module):
    code = "import os  # for\n\n# nothing\ndef f():\n    return (\n        1\n    )\n"
    program = '"""What\n\nit does."""\n\n' + code.replace("    return", '    """Says\n    this."""\n    return')
    assert module("programs").code_lines(program) == 5
