"""Configuration -> what the decoders are told: how media is listed, opened, cut and shown, and by how many of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streammm.building.encoders import is_built_in, make_encoder
from streammm.building.modalities import used_modalities
from streammm.config import Config
from streammm.config.section import seconds
from streammm.media.cutting import Windows
from streammm.media.filter import SourceFilter
from streammm.media.listing import MEDIA_SUFFIXES, ListingOptions
from streammm.media.network import NetworkOptions
from streammm.media.options import DecodeOptions, Limits, LiveOptions, SpeechWindow
from streammm.media.store import READ_SECONDS

if TYPE_CHECKING:  # torch takes seconds to import
    from streammm.encoders.base import Picture


def decode_options(config: Config) -> DecodeOptions:
    """How to decode and cut; the pictures are those that the encoder of video wants.

    Raises:
        ConfigError: there is no such encoder.
    """
    segment = config.segment
    picture = _picture(config)
    return DecodeOptions(
        windows=Windows(
            seconds(segment.length_seconds),
            seconds(segment.hop_seconds or segment.length_seconds),
            seconds(segment.frames_per_second),
        ),
        max_shot_seconds=seconds(segment.max_shot_seconds) if segment.by == "shots" else None,
        speech=SpeechWindow(seconds(config.speech.before_seconds)) if config.speech.recogniser else None,
        mode=config.decode.mode,
        max_difference=config.decode.max_difference,
        hardware=config.decode.hardware,
        shorter_side=picture.shorter_side,
        crop=picture.crop,
        threads=config.decode.threads,
        max_pixels=config.decode.max_pixels,
        network=NetworkOptions(**dict(config.network)),
        live=LiveOptions(**dict(config.live)),
        limits=Limits(config.decode.memory_mb * 2**20, config.decode.progress_seconds, config.decode.segment_seconds),
        filter=SourceFilter(config.sources.min_seconds, config.sources.max_seconds, config.sources.require),
    )


def listing_options(config: Config) -> ListingOptions:
    """What is taken of directories and lists."""
    named = config.sources.extensions
    return ListingOptions(
        MEDIA_SUFFIXES if named is None else frozenset(named),
        config.sources.deduplicate,
        config.network.read_seconds or READ_SECONDS,
    )


def num_decoders(config: Config, num_sources: int, cores: int) -> int:
    """How many decode workers to make where nothing is set: one a core, at most one a source."""
    return config.engine.decoders or max(1, min(num_sources, cores))


def _picture(config: Config) -> Picture:
    """The pictures that are looked at: known without loading any weights, of the built-in encoder without torch."""
    from streammm.encoders.base import USUAL_PICTURE

    if "video" not in used_modalities(config) or is_built_in(config, "video"):
        return USUAL_PICTURE
    picture: Picture = getattr(make_encoder(config, "video"), "picture", USUAL_PICTURE)
    return picture
