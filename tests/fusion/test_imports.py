"""What runs without a net of its own does without torch, which takes more than a second and much memory to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from streammm.fusion.card import MODEL_FILE, ModelCard

MODULES = (
    *("streammm.fusion.meaning", "streammm.fusion.modality", "streammm.fusion.model", "streammm.fusion.nothing"),
    *("streammm.fusion.temporal", "streammm.fusion.vocabulary", "streammm.classifier", "streammm.source_rows"),
    *("streammm.find", "streammm.likeness", "streammm.relabel", "streammm.replay"),
    *("streammm_workers.engine", "streammm_workers.shard", "streammm_workers.encode", "streammm.training.background"),
)


def test_fusion_without_training_is_imported_without_torch() -> None:
    assert printed_by(f"import sys, {', '.join(MODULES)}; print('torch' in sys.modules)") == "False"


def test_what_is_known_of_a_trained_model_is_read_without_torch(tmp_path: Path) -> None:
    card = ModelCard(task="multi_class", labels=("a", "b"), dims={"audio": 1024}, encoders={"audio": "yamnet"})
    (tmp_path / MODEL_FILE).write_text(card.model_dump_json())
    (tmp_path / "config.yaml").write_text("encoders: {audio: yamnet}\n")
    code = (
        "import sys\nfrom streammm.building.decoding import decode_options\n"
        "from streammm.building.labels import label_thresholds\n"
        "from streammm.building.modalities import used_modalities\n"
        f"from streammm.config import load\nconfig = load(model={str(tmp_path)!r})\ndecode_options(config)\n"
        "print(used_modalities(config), label_thresholds(config), 'torch' in sys.modules)"
    )
    assert printed_by(code) == "('audio',) {'a': 0.5, 'b': 0.5} False"


def printed_by(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
