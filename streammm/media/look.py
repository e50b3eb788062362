"""Probes a source in a decoding process, as everything untrusted is read."""

from __future__ import annotations

from streammm.errors import SourceError
from streammm.media.address import public_name
from streammm.media.options import DecodeOptions
from streammm.media.probe import Probe
from streammm.media.process import DecodeProcess, DecoderDiedError


def probe(source: str, options: DecodeOptions, decode_seconds: float = 10.0) -> Probe:
    """What a source holds and what the pipeline makes of it.

    Args:
        source: path or address.
        options: how it would be decoded and cut.
        decode_seconds: how much of it is decoded to look for damage; infinity for all.

    Raises:
        SourceError: it cannot be opened, or it ended the decoder.
    """
    name = public_name(source)
    process = DecodeProcess(options.limits)
    try:
        answer = process.ask(
            "probe",
            options,
            source=source,
            length_seconds=float(options.windows.length_seconds),
            hop_seconds=float(options.windows.hop_seconds),
            decode_seconds=decode_seconds,
        )
    except DecoderDiedError as error:
        raise SourceError(name, "decoder-died", f"looking at it ended the decoder: {error}") from error
    except SourceError as error:
        raise SourceError(name, error.reason, error.detail) from error
    finally:
        process.kill()
    return Probe.from_json(answer["probe"])
