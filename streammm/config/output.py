"""Settings of what comes of media: what rows hold, what may be stored or shown, and for how long."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from streammm.config.section import Count, Positive, Section


class OutputConfig(Section):
    """What a row holds, and where rows are kept."""

    top_labels: Count = Field(10, description="How many labels a row lists, best first, fused and per modality.")
    embeddings: bool = Field(
        False,
        description="Keep what the encoders made of each segment in the journal, beside its row: for training, other "
        "labels later without decoding, and searching. About 12 kB a segment with pictures and sound.",
    )
    text: bool = Field(
        False, description="Rows hold the captions or recognised words themselves, with their times, not only labels."
    )
    journal: str | None = Field(
        None,
        description="Database that rows, cursors and fusion state are committed to, such as "
        "postgresql+psycopg://USER@HOST/NAME with the password in PGPASSWORD. Default: SQLite in the run directory.",
    )
    deliver_seconds: Annotated[float, Field(ge=0)] = Field(
        60.0,
        description="How long, at the end of a run, a sink that cannot be reached is still tried; the rest is kept "
        "for `streammm deliver`.",
    )


class PrivacyConfig(Section):
    """What of media may leave the workers; docs/privacy.md says what is stored where."""

    keeps: Literal["everything", "embeddings", "scores"] = Field(
        "everything",
        description="everything: what output asks for. embeddings: no picture, sound or words, also in reports and "
        "messages; scores and embeddings only. scores: scores only.",
    )
    faces: Literal["keep", "blur"] = Field(
        "keep",
        description="blur: faces that are found in the pictures of reports are blurred, which may miss some; the page "
        "of streammm watch has no pictures then.",
    )

    @property
    def keeps_media(self) -> bool:
        """Whether pictures, sound and words may leave the workers."""
        return self.keeps == "everything"

    @property
    def shows_frames(self) -> bool:
        """Whether a picture may be shown as it is."""
        return self.keeps_media and self.faces == "keep"


class RetentionConfig(Section):
    """How long a run directory keeps rows, events and embeddings; never less than until all sinks have them."""

    max_age_days: Positive | None = Field(None, description="What is older is removed. Default: kept for ever.")
    max_size_mb: Positive | None = Field(
        None, description="The oldest is removed while the run directory is larger, in MiB. Default: any size."
    )


class WatchConfig(Section):
    """What `streammm watch` shows."""

    frames: bool = Field(
        True, description="Show the last picture of each source, as the encoder gets it; it is never stored."
    )
