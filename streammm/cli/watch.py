"""What `streammm watch` and `streammm run --watch` show a run with."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from rich.console import Console

from streammm.building.decoding import listing_options
from streammm.config import Config
from streammm.errors import ConfigError
from streammm.watch.cards import Cards


class Watching:
    """The page of a run, its cards on the terminal, or both. The page listens at once.

    Args:
        config: of the run.
        listen: where the page listens; None for no page.
        on_terminal: whether the cards are shown here.
        console: where to say what is opened in a browser, and to show the cards.

    Raises:
        ConfigError: the page cannot be served there, or there is no terminal.
    """

    def __init__(self, config: Config, listen: str | None, on_terminal: bool, console: Console) -> None:
        if on_terminal and not console.is_terminal:
            raise ConfigError("--terminal: this is no terminal")
        self.cards = Cards()
        self._shown: list[Any] = []
        self._page = None
        if on_terminal:
            from streammm.watch.terminal import TerminalCards

            self._shown.append(TerminalCards(self.cards, console))
        if listen is not None:
            from streammm.watch.serve import Page

            has_frames = config.watch.frames and config.privacy.shows_frames
            self._page = Page(listen, self.cards, listing_options(config), has_frames)
            self._shown.append(self._page)
            console.print(f"[bold green]watch[/] at {self._page.link}", highlight=False, soft_wrap=True)

    async def attend(self, run: Any) -> None:
        """Shows a run; see `streammm_workers.plan.Plan`."""
        await asyncio.gather(*(one.attend(run) for one in self._shown))

    def close(self) -> None:
        """Listens no more."""
        if self._page is not None:
            self._page.close()


def silent_console() -> Console:
    """For the lines of a run whose cards fill the terminal."""
    return Console(file=open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123 - for as long as we run
