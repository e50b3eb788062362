"""ELAN's .eaf: annotations on tiers, between time slots. https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0.pdf

It is parsed by expat with document types refused, so that there are no entities to expand and nothing to fetch.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import numpy as np

from streammm.errors import ConfigError
from streammm.training.formats.reading import Document, FormatOptions, Reading, Row, chosen


def read(document: Document, options: FormatOptions) -> Reading | None:
    if "<ANNOTATION_DOCUMENT" not in document.text:
        return None
    try:
        root = _parse(document.text)
    except (expat.ExpatError, ValueError) as error:
        raise ConfigError(f"{document.path}: {error}") from error
    reading = Reading()
    names, origin_seconds = _media(root)
    slots = _slots(root)
    spans: dict[str, tuple[float, float]] = {}
    tiers = {tier.get("TIER_ID", ""): tier for tier in root.iter("TIER")}
    wanted = chosen(options.layers, list(tiers), "tier", document.path)
    found = [(tier, mark, value) for tier, element in tiers.items() for mark, value in _annotations(element)]
    for _, mark, _ in found:
        first, last = slots.get(mark.get("TIME_SLOT_REF1", "")), slots.get(mark.get("TIME_SLOT_REF2", ""))
        if first is not None and last is not None:
            spans[mark.get("ANNOTATION_ID", "")] = first + origin_seconds, last + origin_seconds
    parents = {mark.get("ANNOTATION_ID"): mark.get("ANNOTATION_REF") for _, mark, _ in found}
    for tier, mark, value in found:
        if tier not in wanted:
            continue
        name = key = mark.get("ANNOTATION_ID", "")
        for _ in parents:  # an annotation of an annotation has its times; no chain is longer than all of them
            if key in spans or not parents.get(key):
                break
            key = parents[key] or ""
        if key not in spans:
            reading.notes.count("annotations have no times and are left out", f"{name} on {tier}")
            continue
        # On many tiers an interval says it all, and the tier's name says what.
        reading.add(Row((*names, document.path.stem), *spans[key], value or tier), f"{name} on {tier}")
    if len(wanted) > 1:
        reading.notes.say(f"labels of all tiers of {document.path.name} are taken together: {', '.join(wanted)}")
    return reading


def _parse(text: str) -> Element:
    builder = TreeBuilder()
    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise ValueError("it declares a document type, which no .eaf does")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.Parse(text, True)
    return builder.close()


def _media(root: Element) -> tuple[list[str], float]:
    """Names of the media, and by how many seconds the first of them begins before the annotations' zero."""
    names, origin_seconds = [], 0.0
    for number, media in enumerate(root.iter("MEDIA_DESCRIPTOR")):
        names += [media.get(key, "") for key in ("RELATIVE_MEDIA_URL", "MEDIA_URL") if media.get(key)]
        if number == 0:
            origin_seconds = float(media.get("TIME_ORIGIN") or 0) / 1000
    return names, origin_seconds


def _slots(root: Element) -> dict[str, float]:
    """Seconds of every time slot; those that nobody placed are put evenly between their neighbours, as ELAN shows."""
    slots = list(root.iter("TIME_SLOT"))
    placed = [n for n, slot in enumerate(slots) if slot.get("TIME_VALUE")]
    if not placed:
        return {}
    times = np.interp(np.arange(len(slots)), placed, [float(slots[n].get("TIME_VALUE", "0")) for n in placed])
    return {slot.get("TIME_SLOT_ID", ""): float(time) / 1000 for slot, time in zip(slots, times, strict=True)}


def _annotations(tier: Element) -> Iterator[tuple[Element, str]]:
    for kind in ("ALIGNABLE_ANNOTATION", "REF_ANNOTATION"):
        for mark in tier.iter(kind):
            yield mark, (mark.findtext("ANNOTATION_VALUE") or "").strip()
