"""The command line."""

from streammm.cli.app import main

__all__ = ["main"]
