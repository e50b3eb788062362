"""The API reference, built from docstrings by pdoc: `make docs` writes it to docs/api.

A public name without a docstring, a name that is not there and whatever else pdoc warns of is an error.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pdoc
import pdoc.doc
import pdoc.render

import streammm

_SECTIONS = ("alerts", "engine", "events", "media", "models", "output", "sinks", "training")

MODULES = (
    *("streammm", "streammm.types", "streammm.errors", "streammm.config", "streammm.runs", "streammm.columns"),
    *("streammm.relabel", "streammm.find", "streammm.journal", "streammm.encoders.base", "streammm.sinks.base"),
    *(f"streammm.config.{name}" for name in _SECTIONS),
)
"""What is public: a release that changes these says so."""


def undocumented(doc: pdoc.doc.Doc) -> Iterator[str]:
    """Names of public functions, classes and methods that say nothing of themselves."""
    if isinstance(doc, pdoc.doc.Namespace):
        for member in doc.own_members:
            if not member.name.startswith("_") and not isinstance(member, pdoc.doc.Variable):
                if not member.docstring:
                    yield member.fullname
                yield from undocumented(member)


def build(folder: Path) -> None:
    """Writes the pages into a folder.

    Raises:
        UserWarning: something in the docstrings, or in what is public, is not right.
    """
    for module in map(importlib.import_module, MODULES):
        for name in getattr(module, "__all__", ()):
            getattr(module, name)  # some are loaded on first use, and pdoc looks for what is loaded
    warnings.simplefilter("error", UserWarning)
    for name in MODULES:
        if missing := list(undocumented(pdoc.doc.Module.from_name(name))):
            raise UserWarning(f"no docstring: {', '.join(missing)}")
    pdoc.render.configure(docformat="google", show_source=False, footer_text=f"streammm {streammm.__version__}")
    pdoc.pdoc(*MODULES, output_directory=folder)


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "api")
