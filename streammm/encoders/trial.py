"""The choice of precision: what this machine gains by a shorter one, and whether it may, tried once and then cached.

Input: the encoders that look and listen, and what they run on. Output: fp32, or the quickest precision whose numbers
agree with those of fp32. Torch is imported only where something has to be tried.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streammm.encoders import BUILT_IN, Encoder, find
from streammm.encoders.cache import cache_folder
from streammm.encoders.check_input import check_segments
from streammm.encoders.placement import num_gpus
from streammm.encoders.weights import MODELS
from streammm.errors import ConfigError, EncodeError
from streammm.types import Modality, Segment

EXACT = "fp32"
"""What all others are held against, and what is taken where nothing is gained or known."""

MIN_COSINE = 0.995
"""Vectors of the check input must agree with those of fp32 so far. tests/encoders/test_agreement.py says what a
precision that does so is like on real clips."""

MIN_GAIN = 1.15
"""By so much a shorter precision must be quicker than a more exact one: rows are not changed for nothing."""

CHECK_SEGMENTS = {"cpu": 8, "cuda": 64}
"""A picture for each patch of sound, as there are in a run."""

_REPEATS = 3
_FORMAT = 1
"""Part of every name in the cache: raise it when the trial changes."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """What encoders are to run on, as it stands in the configuration."""

    runtime: str = "auto"
    device: str = "auto"
    threads: int = 1


def precision_for(encoders: Mapping[Modality, str], place: Place) -> str:
    """The precision for encoders that run together; the same one for all of them.

    It is fp32 for encoders that are not built in: nobody has measured by how much they differ.

    Args:
        encoders: names by modality, without that of text, whose vectors are to be the same on every machine.
    """
    if not encoders or any(name not in BUILT_IN for name in encoders.values()):
        return EXACT
    candidates = candidates_on(place)
    if len(candidates) < 2:
        return EXACT
    path = cache_folder() / f"precision-{_digest(encoders, place)}.json"
    found = _read(path)
    if found is None or found not in candidates:
        try:
            found = _try(encoders, place, candidates)
        except (ConfigError, EncodeError):
            return EXACT  # whoever loads the encoders says why they cannot be loaded
        _write(path, found)
    return found


def candidates_on(place: Place) -> Sequence[str]:
    """Precisions that this machine may be quick in, the most exact first."""
    if _is_for_gpu(place):
        return (EXACT, "fp16", "bf16")
    processor = _processor()
    halves = ("fp16",) if any(flag in processor for flag in ("avx512_fp16", "asimdhp")) and _version("openvino") else ()
    return (EXACT, *halves, "bf16") if "bf16" in processor else (EXACT, *halves)


def gain_refused(cosine: float, gain: float) -> str:
    """Why a precision is not taken, in words; empty where it is.

    Args:
        cosine: by how much it agrees with fp32, at least.
        gain: how many times as fast it is as what was taken so far.
    """
    if not cosine >= MIN_COSINE:
        return f"agrees to {cosine:.3f} only, {MIN_COSINE} are needed"
    return "" if gain >= MIN_GAIN else f"{gain:.2f} times as fast, {MIN_GAIN} are needed"


def least_cosine(found: npt.NDArray[np.float32], wanted: npt.NDArray[np.float32]) -> float:
    """The least cosine between rows [N, D] and those that they are held against; NaN where a number is none."""
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    return float(((found * wanted).sum(1) / lengths.clip(1e-12)).min())


def _try(encoders: Mapping[Modality, str], place: Place, candidates: Sequence[str]) -> str:
    """Encodes the check input in each precision; what does not agree is not timed."""
    num_segments = CHECK_SEGMENTS["cuda" if _is_for_gpu(place) else "cpu"]
    segments = {m: check_segments(m, num_segments) for m in encoders}
    best, best_encoders = EXACT, _set_up(encoders, place, EXACT)
    wanted = {m: encoder.encode(segments[m]).vectors for m, encoder in best_encoders.items()}
    for precision in candidates[1:]:
        others: dict[Modality, Encoder] = {}
        try:
            for modality in encoders:
                others |= _set_up({modality: encoders[modality]}, place, precision)
                cosine = least_cosine(others[modality].encode(segments[modality]).vectors, wanted[modality])
                if reason := gain_refused(cosine, MIN_GAIN):
                    _log.info("%s: %s %s", precision, encoders[modality], reason)
                    break
            else:
                best_seconds, seconds = _seconds((best_encoders, others), segments)
                if not gain_refused(1.0, best_seconds / seconds):
                    best, best_encoders = precision, others
        except (ConfigError, EncodeError) as error:
            _log.info("%s cannot be had: %s", precision, error)
    return best


def _set_up(encoders: Mapping[Modality, str], place: Place, precision: str) -> dict[Modality, Encoder]:
    made = {m: find(name, m, precision=precision, torch_compile=False, **asdict(place)) for m, name in encoders.items()}
    for encoder in made.values():
        encoder.setup()
    return made


def _seconds(
    sides: Sequence[Mapping[Modality, Encoder]], segments: Mapping[Modality, Sequence[Segment]]
) -> list[float]:
    """How long each side takes for all segments: the least of several tries, in turns."""
    least = [float("inf")] * len(sides)
    for _ in range(_REPEATS):
        for i, encoders in enumerate(sides):
            begin = time.perf_counter()
            for modality, encoder in encoders.items():
                encoder.encode(segments[modality])
            least[i] = min(least[i], time.perf_counter() - begin)
    return least


def _is_for_gpu(place: Place) -> bool:
    """Whether a GPU would be taken."""
    if place.device != "auto" or place.runtime == "openvino":
        return place.device.startswith("cuda")
    return num_gpus() > 0


def _processor() -> str:
    """Name and abilities of the processor as Linux tells them; nothing elsewhere."""
    try:
        first, _, _ = Path("/proc/cpuinfo").read_text().partition("\n\n")
    except OSError:
        return ""
    named = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    return "\n".join(line for line in first.splitlines() if line.partition(":")[0].strip() in named)


def _gpus() -> list[str]:
    found = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        found += [line for line in path.read_text().splitlines() if line.startswith("Model:")]
    return found


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _digest(encoders: Mapping[Modality, str], place: Place) -> str:
    """Names all that a trial depends on: the processor and the GPUs, the runtimes, the encoders, and their weights."""
    versions = [_version(package) for package in ("streammm", "torch", "openvino")]
    weights = {m: [name, *sorted(MODELS[name].files.values())] for m, name in sorted(encoders.items())}
    machine = [platform.machine(), _processor(), _gpus(), os.environ.get("CUDA_VISIBLE_DEVICES", "")]
    parts = [_FORMAT, versions, weights, asdict(place), machine]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _read(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text())["precision"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("cache file %s is damaged (%s), trying again", path, error)
        return None


def _write(path: Path, precision: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False) as file:
            json.dump({"precision": precision}, file)
        Path(file.name).replace(path)
    except OSError as error:
        _log.warning("cannot write to the cache (%s); the next start will take as long as this one", error)
