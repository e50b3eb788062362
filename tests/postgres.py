"""A PostgreSQL for tests, which they may stop and start again."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest


def missing(reason: str) -> Any:
    return (pytest.fail if os.environ.get("STREAMMM_NO_SKIP") else pytest.skip)(reason)


class Postgres:
    """A PostgreSQL of our own, on a socket in a directory of our own."""

    def __init__(self) -> None:
        places = [*map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"))), os.environ.get("PATH", "")]
        initdb = shutil.which("initdb", path=os.pathsep.join(places))
        if initdb is None:
            missing("no PostgreSQL: make servers installs it")
        assert initdb is not None
        self._folder = folder = Path(tempfile.mkdtemp(prefix="smpg", dir="/tmp"))
        as_user = []
        if os.geteuid() == 0:  # it refuses to run as root
            shutil.chown(folder, "nobody")
            as_user = ["setpriv", "--reuid=nobody", "--clear-groups", "--"]
        bin_ = Path(initdb).resolve().parent
        self._quiet: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder}
        subprocess.run([*as_user, initdb, "-A", "trust", "-U", "us", "-D", folder / "data"], **self._quiet)
        self._control = [*as_user, bin_ / "pg_ctl", "-w", "-D", folder / "data", "-l", folder / "log"]
        self.url = f"postgresql+psycopg://us@/postgres?host={folder}"
        self.start()

    def start(self) -> None:
        options = f"-k {self._folder} -c listen_addresses= -c fsync=off"
        subprocess.run([*self._control, "-o", options, "start"], **self._quiet)

    def stop(self) -> None:
        subprocess.run([*self._control, "-m", "immediate", "stop"], **self._quiet)

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)
