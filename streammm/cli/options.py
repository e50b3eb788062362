"""What several commands share: their arguments and options, and how they end."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

OK, SOME_FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130

LISTEN = "127.0.0.1:8420"
"""Where the page of a run is, where nothing else is said."""

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="Files, directories, patterns, @lists, addresses (s3://..., rtsp://...), - for a pipe.",
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,...|FILE.yaml", help="What to look and listen for, in any words, or a file that says more."
    ),
]
ModelDirectory = Annotated[
    Path | None, typer.Option("--model", metavar="DIR", help="Classify with a model that streammm train made.")
]
ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Configuration in YAML.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting, such as segment.length_seconds=4.")
]
Addresses = Annotated[
    list[str] | None,
    typer.Option(
        "--to",
        metavar="ADDRESS",
        help="Deliver there as well: parquet:DIR, *.csv, sqlite:///FILE, postgresql://..., kafka://HOST/TOPIC, "
        "mqtt://HOST/TOPIC, https://..., webvtt:DIR, srt:DIR, edl:DIR, *.jsonl, -. May be repeated.",
    ),
]


def leave(code: int) -> NoReturn:
    """Ends the process, without waiting for threads that are still in the middle of something."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # as it is where a program is started with it closed
            stream.flush()
    os._exit(code)
