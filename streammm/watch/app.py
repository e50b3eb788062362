"""The page and the HTTP API of a run: what its cards show, as it comes, and sources that come and go by hand."""

# No postponed annotations here: FastAPI reads those of its routes.

import asyncio
import itertools
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Protocol

import jinja2
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel, Field

from streammm import __version__
from streammm.errors import StreammmError
from streammm.media.address import public_name
from streammm.media.listing import ListingOptions, list_sources
from streammm.media.skipped import Skipped
from streammm.report.page import ASSETS as REPORT_ASSETS
from streammm.watch.cards import KEPT_SECONDS, Card, Cards

_log = logging.getLogger(__name__)

ASSETS = Path(__file__).parent / "assets"

_FILES = {
    "style.css": (REPORT_ASSETS, "text/css"),
    "theme.js": (REPORT_ASSETS, "text/javascript"),
    "timeline.js": (REPORT_ASSETS, "text/javascript"),
    "watch.css": (ASSETS, "text/css"),
    "watch.js": (ASSETS, "text/javascript"),
    "icon.svg": (ASSETS, "image/svg+xml"),
}
"""What pages load; the face is that of reports."""

_MAX_ADDED = 1000
_MAX_STREAMS = 32
_LOOK_SECONDS = 0.25
_PING_SECONDS = 15.0

_WRONG: dict[int | str, dict[str, Any]] = {
    404: {"description": "There is no such source."},
    409: {"description": "That does not fit how the source, or the run, stands."},
}


class Run(Protocol):
    """What is asked of a run; see `streammm_workers.by_hand.ByHand`."""

    async def add(self, found: Sequence[Any]) -> Mapping[str, str]:
        """Takes up more sources."""

    async def pause(self, name: str) -> None:
        """Lets a source come to a stop."""

    async def resume(self, name: str) -> None:
        """Takes up a source again."""

    async def remove(self, name: str) -> None:
        """Leaves a source out from here on."""

    def standing(self) -> Mapping[str, str]:
        """How sources stand that are not over, by name."""

    async def pictures(self) -> Mapping[str, bytes]:
        """The last pictures of sources as JPEG, by name."""


class ToAdd(BaseModel):
    """What is to be added."""

    source: Annotated[
        str,
        Field(
            min_length=1,
            max_length=4096,
            description="As on the command line: a file, a directory, a pattern, a list, an address.",
            examples=["rtsp://camera.example/live"],
        ),
    ]


class Added(BaseModel):
    """What became of what was to be added, by name."""

    added: list[str]
    known: Annotated[list[str], Field(description="Sources of the run already, or done.")]
    skipped: Annotated[list[str], Field(description="Left out, and why.")]


class Source(BaseModel):
    """How a source stands."""

    id: str
    name: Annotated[str, Field(description="Its address without credentials.")]
    state: Annotated[
        str,
        Field(
            description="waiting, working, pausing, paused, removing, removed, done, quarantined or skipped.",
        ),
    ]
    detail: Annotated[str, Field(description="Why, where something is wrong.")]
    live: Annotated[
        dict[str, int | float] | None, Field(description="Of a live source: lag, and what happened so far, in counts.")
    ]
    segments: Annotated[int, Field(description="How many there were since the run was started.")]
    picture: Annotated[int, Field(description="The number of its last picture; 0 if there is none.")]
    events: Annotated[list[dict[str, Any]], Field(description="The last events, the newest first.")]


class OneSource(Source):
    """How a source stands, and its last minutes."""

    rows: Annotated[list[dict[str, Any]], Field(description="Its segments of the last minutes.")]


def make_app(cards: Cards, run: Run, options: ListingOptions | None = None) -> FastAPI:
    """The page and the API of a run; who may talk to them is for `guard.Guard`.

    Args:
        cards: what is shown.
        run: what is asked.
        options: how sources are listed that are added.
    """
    app = FastAPI(
        title="streammm watch",
        version=__version__,
        description="A run as it goes. Changes are sent as JSON; with a token as Authorization: Bearer TOKEN.",
        docs_url=None,  # both load scripts from elsewhere; /docs is a page of our own
        redoc_url=None,
        openapi_url=None,
    )
    num_streams = 0

    def card_of(id_: str) -> Card:
        if (card := cards.by_id(id_)) is None:
            raise HTTPException(404, "there is no such source")
        return card

    @app.exception_handler(StreammmError)
    async def refuse(request: Request, error: StreammmError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 409)

    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(_template("watch.html").render(version=__version__, minutes=round(KEPT_SECONDS / 60)))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(_template("docs.html").render(api=app.openapi(), version=__version__))

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> JSONResponse:
        return JSONResponse(app.openapi())

    @app.get("/assets/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        if name not in _FILES:
            raise HTTPException(404, "there is no such file")
        folder, kind = _FILES[name]
        return Response(_text(folder, name), media_type=kind)

    @app.get("/api/run", summary="How the run stands")
    async def show_run() -> dict[str, Any]:
        return cards.run

    @app.get("/api/sources", summary="All sources that are shown")
    async def list_all() -> list[Source]:
        return [Source(**card.to_json()) for card in cards]

    @app.post("/api/sources", status_code=201, summary="Add sources", responses={409: _WRONG[409]})
    async def add(what: ToAdd) -> Added:
        found = await asyncio.to_thread(_listed, what.source, options)
        statuses = await run.add(found)
        cards.stand(run.standing())
        names = [public_name(item) for item in found if isinstance(item, str)]
        skipped = [f"{item.source}: {item.detail}" for item in found if isinstance(item, Skipped)]
        added = [name for name in names if statuses.get(name) == "todo"]
        return Added(added=added, known=[name for name in names if name not in added], skipped=skipped)

    @app.get("/api/sources/{id_}", summary="One source with its last minutes", responses={404: _WRONG[404]})
    async def show(id_: str) -> OneSource:
        card = card_of(id_)
        return OneSource(**card.to_json(), rows=card.rows_after(0))

    @app.get(
        "/api/sources/{id_}/picture",
        summary="Its last picture, as the encoder gets it",
        responses={404: {"description": "There is none."}, 200: {"content": {"image/jpeg": {}}}},
        response_class=Response,
    )
    async def picture(id_: str) -> Response:
        if not (card := card_of(id_)).jpeg:
            raise HTTPException(404, "there is no picture of it")
        return Response(card.jpeg, media_type="image/jpeg")

    @app.post("/api/sources/{id_}/pause", summary="Let a source rest", status_code=202, responses=_WRONG)
    async def pause(id_: str) -> Source:
        await run.pause(card_of(id_).name)
        return stands(id_)

    @app.post(
        "/api/sources/{id_}/resume",
        summary="Go on with a source that rests, or try again one that was given up",
        status_code=202,
        responses=_WRONG,
    )
    async def resume(id_: str) -> Source:
        await run.resume(card_of(id_).name)
        return stands(id_)

    @app.delete(
        "/api/sources/{id_}",
        summary="Take a source out of the run; what was made of it stays",
        status_code=202,
        responses=_WRONG,
    )
    async def remove(id_: str) -> Source:
        await run.remove(card_of(id_).name)
        return stands(id_)

    def stands(id_: str) -> Source:
        cards.stand(run.standing())
        return Source(**card_of(id_).to_json())

    @app.get(
        "/api/stream",
        summary="Everything as it comes, as server-sent events",
        description="An event `cards` has what changed since the one before: `run`, `order` (the ids of all sources), "
        "and `cards`, each with the `rows` that are new. The first has everything.",
        responses={200: {"content": {"text/event-stream": {}}}, 503: {"description": "Too many watch."}},
        response_class=StreamingResponse,
    )
    async def stream() -> StreamingResponse:
        if num_streams >= _MAX_STREAMS:
            raise HTTPException(503, f"{_MAX_STREAMS} watch already")
        return StreamingResponse(counted(), media_type="text/event-stream")

    async def counted() -> AsyncIterator[str]:
        nonlocal num_streams
        num_streams += 1
        app.state.num_watching = num_streams
        try:
            async for message in _messages(cards):
                yield message
        finally:
            num_streams -= 1
            app.state.num_watching = num_streams

    app.state.num_watching = 0
    return app


async def keep_asking(cards: Cards, run: Run, app: FastAPI | None, with_pictures: bool) -> None:
    """Asks a run how its sources stand, and for pictures while somebody watches."""
    for turn in itertools.count():
        cards.stand(run.standing())
        if with_pictures and turn % 2 == 0 and app is not None and app.state.num_watching:
            try:
                cards.show(await run.pictures())
            except Exception as error:  # noqa: BLE001 - whoever watches a run never stops it
                _log.info("no pictures: %s", error)
        await asyncio.sleep(0.5)


async def _messages(cards: Cards) -> AsyncIterator[str]:
    """What is new, each time that something is; all of it at first."""
    seen = -1
    silent_seconds = 0.0
    while True:
        if cards.number > seen:
            told, seen = _news(cards, seen), cards.number
            yield f"event: cards\ndata: {json.dumps(told, ensure_ascii=False)}\n\n"
            silent_seconds = 0.0
        elif cards.is_over:
            yield "event: over\ndata: {}\n\n"
            return
        await asyncio.sleep(_LOOK_SECONDS)
        silent_seconds += _LOOK_SECONDS
        if silent_seconds >= _PING_SECONDS:
            yield ": still here\n\n"
            silent_seconds = 0.0


def _news(cards: Cards, seen: int) -> dict[str, Any]:
    told: dict[str, Any] = {"first": seen < 0}
    if cards.run_changed > seen:
        told["run"] = cards.run
    if cards.order_changed > seen:
        told["order"] = [card.id for card in cards]
    told["cards"] = [{**card.to_json(), "rows": card.rows_after(seen)} for card in cards if card.changed > seen]
    return told


def _listed(text: str, options: ListingOptions | None) -> list[Any]:
    """The sources that are meant, as on the command line.

    Raises:
        StreammmError: there are none, or what is meant cannot be read from a page.
    """
    text = text.strip()
    if text == "-":
        raise StreammmError("standard input is for whoever started the run")
    if "${" in text:
        raise StreammmError("the environment is not read for what is added to a run; write the address out")
    if "\0" in text or not text:
        raise StreammmError("name a source")
    found = list(itertools.islice(list_sources([text], options), _MAX_ADDED + 1))
    if not found:
        raise StreammmError(f"no media files in {text}")
    if len(found) > _MAX_ADDED:
        raise StreammmError(f"more than {_MAX_ADDED} sources; start a run for them")
    return found


@cache
def _text(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8")


@cache
def _template(name: str) -> jinja2.Template:
    loader = jinja2.FileSystemLoader(ASSETS)
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined).get_template(name)
