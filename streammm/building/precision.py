"""Configuration -> the same with the precision of the encoders decided, once for all who work on a run."""

from __future__ import annotations

from streammm.building.modalities import used_modalities
from streammm.config import Config
from streammm.types import Modality


def with_precision(config: Config, earlier: str | None = None, *, is_here: bool = True) -> Config:
    """The same with ``runtime.precision`` decided, once for all who work on a run.

    Args:
        earlier: what a run that is to go on was made in.
        is_here: False where other machines do the work: they may differ, and all of them can do fp32.
    """
    runtime = config.runtime
    if runtime.precision != "auto":
        return config
    precision = earlier or "fp32"
    if earlier is None and is_here:
        from streammm.encoders.trial import Place, precision_for

        looked_at: dict[Modality, str] = {
            m: getattr(config.encoders, m) for m in used_modalities(config) if m != "text"
        }
        backend = "torch" if runtime.torch_compile else runtime.backend
        precision = precision_for(looked_at, Place(backend, runtime.device, runtime.threads))
    return config.model_copy(update={"runtime": runtime.model_copy(update={"precision": precision})})
