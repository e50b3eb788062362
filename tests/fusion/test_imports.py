"""What runs without a net of its own does without torch, which takes more than a second and much memory to import."""

from __future__ import annotations

import subprocess
import sys

MODULES = (
    *("streammm.fusion.meaning", "streammm.fusion.modality", "streammm.fusion.model", "streammm.fusion.nothing"),
    *("streammm.fusion.temporal", "streammm.fusion.vocabulary", "streammm.classifier", "streammm.source_rows"),
    *("streammm.find", "streammm.likeness", "streammm.relabel", "streammm.replay"),
    *("streammm_workers.engine", "streammm_workers.shard", "streammm_workers.encode", "streammm.training.background"),
)


def test_fusion_without_training_is_imported_without_torch() -> None:
    code = f"import sys, {', '.join(MODULES)}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "False"
