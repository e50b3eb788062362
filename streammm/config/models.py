"""Settings of models: which look, listen and read, what they run on, and how their answers become one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from streammm.config.section import Count, Section
from streammm.types import MODALITIES, Modality

_BASE_WEIGHTS: dict[Modality, float] = {"video": 1.0, "audio": 1.0, "text": 0.5}


class EncodersConfig(Section):
    """Which model looks, listens and reads: built in, or named as `streammm models` says, such as timm:resnet50."""

    video: str = Field("efficientnet_lite0", description="Looks at the pictures.")
    audio: str = Field("yamnet", description="Listens to the sound.")
    text: str = Field("minilm", description="Reads subtitles and captions, and the names of the labels.")


class RuntimeConfig(Section):
    """What the encoders run on."""

    backend: Literal["auto", "torch", "openvino"] = Field(
        "auto",
        description="auto: torch; on a CPU OpenVINO for the built-in encoders where it is installed.",
    )
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="Arithmetic of the encoders that look and listen; text is read in fp32. auto: the quickest that "
        "agrees with fp32, found out once on this machine, see `streammm models --bench`; on a cluster fp32.",
    )
    threads: Count = Field(1, description="Threads each encoder may use on a CPU.")
    torch_compile: bool = Field(
        False, description="Compile the nets with torch.compile at the start, which takes minutes; backend torch only."
    )


class SpeechConfig(Section):
    """Text from speech: what is said is recognised where a segment has no captions, and read as they are."""

    recogniser: str | None = Field(
        None,
        description="pocketsphinx; whisper:tiny.en; whisper:NAME, which is fetched from the Hugging Face hub; or "
        "whisper:DIRECTORY with a model for CTranslate2. Default: none.",
    )
    language: str = Field("en", description="What is spoken. The text encoder and the models in packages know English.")
    before_seconds: Annotated[float, Field(ge=0, le=20)] = Field(
        3.0,
        description="Sound before a segment that is listened to again, so that words which its start cuts are whole; "
        "half a second after it is listened to as well, so that segments come that much later.",
    )


class FusionConfig(Section):
    """How picture, sound and text become one answer."""

    weights: dict[Modality, Annotated[float, Field(ge=0)]] = Field(
        _BASE_WEIGHTS,
        description="How much each modality counts before its reliability in a segment is known; 0 leaves it out. "
        "What is talked about need not be there, so text counts half.",
    )
    smoothing_seconds: Annotated[float, Field(ge=0)] = Field(
        1.5, description="Time constant of the smoothing over time; 0 judges every segment by itself."
    )

    @field_validator("weights")
    @classmethod
    def _complete(cls, weights: dict[Modality, float]) -> dict[Modality, float]:
        complete: dict[Modality, float] = {m: weights.get(m, _BASE_WEIGHTS[m]) for m in MODALITIES}
        if not any(complete.values()):
            raise ValueError("at least one modality needs a weight above 0")
        return complete
