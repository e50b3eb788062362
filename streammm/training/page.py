"""An evaluation as one HTML page that needs nothing else: figures, what is taken for what, and where it fails."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from streammm.media.address import is_address
from streammm.training.confusion import confusion_svg

METRICS_FILE, PAGE_FILE, CONFUSION_FILE = "metrics.json", "evaluation.html", "confusion.svg"

_STYLE = """
body { font: 15px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 }
td, th { text-align: left; padding: .2em 1.2em .2em 0; border-bottom: 1px solid #ddd; vertical-align: top }
td.number { text-align: right; font-variant-numeric: tabular-nums }
svg { max-width: 100%; height: auto }
"""


def write_evaluation(folder: Path, name: str, report: Mapping[str, Any]) -> None:
    """Writes figures as JSON, the page, and the picture that it holds by itself."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / METRICS_FILE).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / PAGE_FILE).write_text(evaluation_page(name, report), encoding="utf-8")
    picture = confusion_svg(report["confusion"]["labels"], report["confusion"]["counts"])
    (folder / CONFUSION_FILE).write_text(picture, encoding="utf-8")


def evaluation_page(name: str, report: Mapping[str, Any]) -> str:
    """The page of a report of `evaluate`."""
    confusion = report["confusion"]
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(name)}</title><style>{_STYLE}</style>',
        f"<h1>{escape(name)}</h1>",
        f"<p>{escape(judged(report))}. Intervals are of 95 %, sources drawn anew (bootstrap).</p>",
        _table(("figure", "value", "95 %"), [_cells(*item) for item in report["figures"].items()]),
    ]
    if report["by_modality"]:
        parts.append(f"<h2>With modalities missing</h2><p>{escape(report['score'])}</p>")
        parts.append(_table(("case", "value", "95 %"), [_cells(*item) for item in report["by_modality"].items()]))
    parts.append("<h2>What is taken for what</h2>")
    parts.append(confusion_svg(confusion["labels"], confusion["counts"]))
    parts.append("<h2>Least likely held for true</h2><p>A link opens the file at the time.</p>")
    parts.append(_table(("where", "true", "taken for", "probability"), [_worst_cells(w) for w in report["worst"]]))
    return "\n".join(parts) + "\n"


def judged(report: Mapping[str, Any]) -> str:
    """What was judged, in words."""
    whole, segments = report["num_whole_sources"], report["num_segments"]
    part = f", the {report['judged_on']} part" if "judged_on" in report else ""
    if not segments and whole:
        return f"{whole} sources as a whole{part}"
    also = f" and {whole} sources as a whole" if whole else ""
    return f"{segments} segments{also}, of {report['num_sources']} sources{part}"


def figure_text(found: Mapping[str, float | None]) -> tuple[str, str]:
    """A figure and its interval, in words."""
    if found["value"] is None:
        return "not defined", ""
    has_interval = found["low"] is not None and found["high"] is not None
    return f"{found['value']:.3f}", f"{found['low']:.3f} to {found['high']:.3f}" if has_interval else ""


def link_at(source: str, start_seconds: float, end_seconds: float) -> str | None:
    """What opens a file or web address at a time (Media Fragments URI 1.0); None for other addresses."""
    if is_address(source):
        if urlsplit(source).scheme not in ("http", "https"):
            return None
        address = source
    else:
        address = Path(source).absolute().as_uri()
    return f"{address}#t={start_seconds:g},{end_seconds:g}"


def _table(header: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    return f"<table><tr>{head}</tr>\n" + "\n".join(f"<tr>{row}</tr>" for row in rows) + "\n</table>"


def _cells(name: str, found: Mapping[str, float | None]) -> str:
    value, interval = figure_text(found)
    return f'<td>{escape(name)}</td><td class="number">{value}</td><td>{interval}</td>'


def _worst_cells(worst: Mapping[str, Any]) -> str:
    start, end = worst["start_seconds"], worst["end_seconds"]
    where = escape(f"{worst['source']} {start:.1f}-{end:.1f} s")
    if link := link_at(worst["source"], start, end):
        where = f'<a href="{escape(link)}">{where}</a>'
    truth = escape(", ".join(worst["truth"]) or "nothing")
    said = f'<td>{escape(worst["predicted"])}</td><td class="number">{worst["probability_of_truth"]:.3f}</td>'
    return f"<td>{where}</td><td>{truth}</td>{said}"
