"""One page of HTML that holds all it needs, and lets nothing else in: no network, no script but its own.

What comes from media, its name, labels, words, reasons, is escaped by the template or lies in blocks of JSON, and is
put in as text by the scripts. Should anything get past that, the page's own policy stops it: only scripts and styles
whose hashes it names are run, and no address but a file's can be loaded.

The timeline is drawn by a script of our own, under 20 kB, since it is what shows outages, damage, pictures and sound
on one axis and moves with the player; a library of charts would add megabytes to each page and do a part of that.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from streammm import __version__
from streammm.report.run_facts import RunFacts

ASSETS = Path(__file__).parent / "assets"


def render(
    title: str,
    where: str,
    pages: Mapping[str, Any],
    *,
    facts: RunFacts | None = None,
    sources: Sequence[Mapping[str, Any]] = (),
    num_left_out: int = 0,
    index: str = "",
) -> str:
    """A page.

    Args:
        title: what it is called.
        where: the run directory, as the user named it.
        pages: what is shown of sources, by the name that an address has behind its ``#``.
        facts: of the run; None on a page of one source among many.
        sources: what the list of sources says of each; () for no list.
        num_left_out: how many sources are neither listed nor shown.
        index: address of the page that lists all sources, where this one does not.
    """
    style, theme, script = _asset("style.css"), _asset("theme.js"), _asset("timeline.js") + _asset("page.js")
    blocks = {"pages": list(pages), **pages}
    if len(sources) > 1 or (sources and not pages):
        blocks["list"] = list(sources)
    return _template().render(
        title=title,
        where=where,
        policy=_policy(style, theme, script),
        style=Markup(style),  # noqa: S704 - these three are our own files
        theme=Markup(theme),  # noqa: S704
        script=Markup(script),  # noqa: S704
        blocks=list(blocks.items()),
        facts=facts,
        has_list="list" in blocks,
        is_alone=len(pages) == 1,
        num_left_out=num_left_out,
        index=index,
        version=__version__,
        made=time.strftime("%d %B %Y, %H:%M"),
    )


def length_of(seconds: float) -> str:
    """Seconds as people read them: 0:42, 1:02:03."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours:,}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def _policy(style: str, *scripts: str) -> str:
    hashes = " ".join(_hash(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src {_hash(style)}; img-src data:; "
        "media-src 'self' file: blob:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS), autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["length_of"] = length_of
    return environment.get_template("page.html")
