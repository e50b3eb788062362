"""What all measurements of `peers.py` have in common: who is compared, where things are, and how a program is run."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import environments
import psutil
from figures import Result
from programs import Peer, programs


class Bench:
    """What all measurements have in common: where things are, and what is compared."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.folder = folder
        self.precision: str = arguments.precision
        self.environments: Path = arguments.environments
        self.repeats: int = arguments.repeats
        self.peers = [peer for name, peer in programs().items() if name in arguments.only]
        self.result = Result("peers")
        self._pixeltable = folder / "pixeltable"
        os.environ["PIXELTABLE_HOME"] = str(self._pixeltable)

    def command(self, peer: Peer, sources: Sequence[Path], probe: bool = False) -> tuple[list[str], Path]:
        """The command of a peer, and what it writes to, which is not there yet."""
        out = Path(tempfile.mkdtemp(dir=self.folder)) / "out"
        return peer.command(sources, out, self.precision, self.environments, probe), out

    def run(self, peer: Peer, sources: Sequence[Path], probe: bool = False) -> Path:
        """Runs a peer, which must succeed."""
        command, out = self.command(peer, sources, probe)
        print(f"{peer.name}: {len(sources)} files", file=sys.stderr, flush=True)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-5000:]}")
        return out

    def order(self, repeat: int) -> list[Peer]:
        """The peers, forwards and backwards in turn."""
        return self.peers[:: 1 if repeat % 2 == 0 else -1]

    def server(self, peer: Peer) -> psutil.Process | None:
        """The database server that a peer has left running, which its next run uses."""
        mark = self._pixeltable / "pgdata" / "postmaster.pid"
        if peer.environment != "pixeltable" or not mark.exists():
            return None
        return psutil.Process(int(mark.read_text().split()[0]))

    def prepare(self) -> None:
        """Makes the environments that are missing."""
        for peer in self.peers:
            environments.make(peer.environment, self.environments)

    def close(self) -> None:
        """Ends what runs on."""
        for peer in self.peers:
            if running := self.server(peer):
                running.terminate()
                running.wait(30)
