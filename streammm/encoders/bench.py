"""What every runtime and precision does here: speed, time to the first result, and agreement with torch in fp32.

Input: encoders by modality and segments to encode. Output: what was measured of each way to run them, with why the
choice of `trial.py` falls on it or not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from streammm.encoders import BUILT_IN, Encoder, find
from streammm.encoders.placement import Placement
from streammm.encoders.trial import EXACT, Place, gain_refused, least_cosine, precision_for
from streammm.errors import ConfigError, EncodeError
from streammm.types import Embeddings, Modality, Segment

_PRECISIONS = ("fp32", "fp16", "bf16")
_WAYS = {
    "cpu": [("torch", "fp32"), ("torch", "bf16"), *(("openvino", precision) for precision in _PRECISIONS)],
    "cuda": [("torch", precision) for precision in _PRECISIONS],
}


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run an encoder, and what came of it.

    ``seconds_per_item`` is of a picture, a second of sound or a text, the least of several tries; ``cosine`` the least
    agreement of a segment's vector with that of torch in fp32, ``top1`` the share of segments whose best class is the
    same (None without classes). ``verdict`` says why it is taken, or why not.
    """

    modality: Modality
    encoder: str
    runtime: str
    device: str
    precision: str
    first_seconds: float
    seconds_per_item: float
    cosine: float
    top1: float | None
    verdict: str


def bench(
    encoders: Mapping[Modality, str],
    place: Place,
    segments: Mapping[Modality, Sequence[Segment]],
    repeats: int = 5,
    tell: Callable[[str], None] = lambda text: None,
) -> Iterator[Way]:
    """Measures every way that this machine has, one after the other; torch in fp32 is the first of each modality."""
    resolved = Placement(place.runtime, place.device, EXACT, place.threads).resolved()
    together = precision_for({m: name for m, name in encoders.items() if m != "text"}, place)
    for modality, name in encoders.items():
        wanted: Embeddings | None = None
        seconds_in_fp32 = 0.0
        precision = EXACT if modality == "text" else together
        taken = "torch" if place.runtime == "auto" and name not in BUILT_IN else resolved.runtime
        for runtime, way in _WAYS[resolved.device.partition(":")[0]]:
            tell(f"{name} on {runtime} in {way}")
            at = replace(place, runtime=runtime, device=resolved.device)
            try:
                encoder, made, first_seconds = _first(name, modality, at, way, segments[modality])
            except (ConfigError, EncodeError) as error:
                tell(f"{name} on {runtime} in {way}: {error}")
                continue
            wanted = wanted or made
            seconds = _seconds(encoder, segments[modality], repeats)
            cosine = least_cosine(made.vectors, wanted.vectors)
            if runtime == taken and way == EXACT:
                seconds_in_fp32 = seconds
            yield Way(
                modality,
                name,
                runtime,
                resolved.device,
                way,
                first_seconds,
                seconds / _num_items(modality, segments[modality]),
                cosine,
                float((made.tags.argmax(1) == wanted.tags.argmax(1)).mean()) if made.tags.shape[1] else None,
                _verdict(modality, name, (runtime, way), (taken, precision), cosine, seconds_in_fp32 / seconds),
            )


def _first(
    name: str, modality: Modality, place: Place, precision: str, segments: Sequence[Segment]
) -> tuple[Encoder, Embeddings, float]:
    """A new encoder, what it makes of the segments, and how long it took from nothing to its first segment."""
    begin = time.perf_counter()
    encoder = find(name, modality, precision=precision, torch_compile=False, **asdict(place))
    encoder.setup()
    encoder.encode(segments[:1])
    seconds = time.perf_counter() - begin
    return encoder, encoder.encode(segments), seconds


def _seconds(encoder: Encoder, segments: Sequence[Segment], repeats: int) -> float:
    least = float("inf")
    embed = getattr(encoder, "embed", None)  # an encoder of text remembers what it has read; this does not
    for _ in range(repeats):
        begin = time.perf_counter()
        if encoder.modality == "text" and embed is not None:
            embed([segment.text for segment in segments])
        else:
            encoder.encode(segments)
        least = min(least, time.perf_counter() - begin)
    return least


def _num_items(modality: Modality, segments: Sequence[Segment]) -> float:
    if modality == "video":
        return sum(len(segment.frames) for segment in segments)
    if modality == "audio":
        return sum(segment.end_seconds - segment.start_seconds for segment in segments)
    return len(segments)


def _verdict(
    modality: Modality, name: str, way: tuple[str, str], taken: tuple[str, str], cosine: float, gain: float
) -> str:
    """Why a way is the one that is taken, or why not."""
    if way == taken:
        return "taken"
    if way[0] != taken[0]:
        return f"{taken[0]} is installed and quicker" if taken[0] == "openvino" else f"{name} runs on {taken[0]}"
    if modality == "text":
        return "labels are to mean the same on every machine"
    if name not in BUILT_IN:
        return "not measured on real clips; runtime.precision takes it"
    if way[1] == EXACT:
        return f"{taken[1]} is quicker and agrees"
    return gain_refused(cosine, gain) or "all encoders of a run have one precision"
