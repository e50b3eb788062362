"""Pixeltable: a table of videos, a view of their segments by an iterator, and the rows as a computed column of it."""

from __future__ import annotations

from collections.abc import Iterator

import pixeltable as pxt
from pixeltable_functions import cut, encode
from work import arguments, write


def rows(paths: list[str]) -> Iterator[str]:
    pxt.drop_dir("peers", if_not_exists="ignore", force=True)
    pxt.create_dir("peers")
    videos = pxt.create_table("peers.videos", {"video": pxt.Video})
    view = pxt.create_view("peers.segments", videos, iterator=cut(videos.video))
    view.add_computed_column(row=encode(view.source, view.segment, view.seconds, view.frames, view.wave))
    videos.insert([{"video": path} for path in paths], on_error="ignore")
    for row in view.where(view.row != None).select(view.row).collect():  # noqa: E711 - it becomes SQL
        yield row["row"]


if __name__ == "__main__":
    options = arguments()
    write(options.out, rows(options.sources))
