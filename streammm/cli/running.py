"""Carries out `streammm run` and `streammm watch`: sources, workers, output and display are put together here.

Imported when one of these commands is given, since it loads much.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

from rich.console import Console

from streammm.building.decoding import listing_options
from streammm.building.precision import with_precision
from streammm.cli.end import tell_forgotten, tell_stopped, tell_undelivered
from streammm.cli.options import INTERRUPTED, OK, SOME_FAILED, leave
from streammm.cli.order import Asked, Order, order_of
from streammm.cli.output import Output, opened
from streammm.config import Config
from streammm.errors import ConfigError, StreammmError
from streammm.media.listing import list_sources
from streammm.run_directory import precision_of
from streammm.sinks.console import ConsoleReport
from streammm_workers import engine
from streammm_workers.exporters import Exporter
from streammm_workers.observers import Observer, Observers

_out = Console()
_err = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Watched:
    """Where a run is shown while it goes on: on a page, and on the terminal."""

    listen: str | None
    on_terminal: bool = False


def carry_out(asked: Asked, ray: str | None, watched: Watched | None, metrics: str | None = None) -> None:
    """Does a run to its end, and ends the program.

    Args:
        asked: what is to be done, and where rows go.
        ray: the address of a cluster; None for this process.
        watched: where it is shown; None for no more than its lines.
        metrics: where they are served; None for nowhere.
    """
    order = order_of(asked)
    names = list_sources(order.sources, listing_options(order.config))
    first = list(islice(names, engine.PEEK))
    if not first and not order.may_be_empty:
        raise ConfigError(f"no media files in {', '.join(order.sources)}")
    listed: Iterator[Any] = chain(first, names)
    before = precision_of(asked.place) if asked.is_directory and not asked.fresh else None
    config = with_precision(order.config, before, is_here=ray in (None, "local"))
    with ExitStack() as stack:
        workers = stack.enter_context(engine.workers(config, first, ray))
        output = stack.enter_context(opened(order, config))
        if output.directory is not None:
            listed = output.directory.without_forgotten(listed, order.sources)
        report, seen, place = _show(watched, config, replace(output.place, stays_open=asked.stays_open), stack)
        observer = stack.enter_context(Exporter(seen, metrics, uses_ray=ray is not None))
        is_interrupted = False
        try:
            is_complete = engine.run_on(workers, listed, observer, place, report.stopping)
        except KeyboardInterrupt:
            is_interrupted, is_complete = True, False
        except BrokenPipeError:
            raise
        except OSError as error:
            raise StreammmError(f"cannot write rows: {error.strerror or error}") from error
    _tell(order, output, report)
    _end(order, report, ray, is_complete, is_interrupted)


def _show(
    watched: Watched | None, config: Config, place: engine.Place, stack: ExitStack
) -> tuple[ConsoleReport, Observer, engine.Place]:
    """The lines of a run, all who observe it, and its place with whoever attends to it."""
    if watched is None:
        report = ConsoleReport(_err)
        stack.callback(report.close)
        return report, report, place
    from streammm.cli import watch

    watching = watch.Watching(config, watched.listen, watched.on_terminal, _err)
    stack.callback(watching.close)
    report = ConsoleReport(watch.silent_console() if watched.on_terminal else _err)
    stack.callback(report.close)
    return report, Observers(report, watching.cards), replace(place, attend=watching.attend)


def _tell(order: Order, output: Output, report: ConsoleReport) -> None:
    """Says what has been made, and what is missing."""
    if not order.prints_rows:
        if not order.asked.stays_open:
            _out.print(report.table())
            _out.print()
        _out.print(report.summary() + output.where, highlight=False, markup=False, soft_wrap=True)
    if output.directory is not None and output.directory.num_forgotten:
        tell_forgotten(output.directory.num_forgotten)
    tell_undelivered(report, order.asked.place if order.asked.is_directory else None)


def _end(order: Order, report: ConsoleReport, ray: str | None, is_complete: bool, is_interrupted: bool) -> None:
    """Ends the program at once: what was to be written is, and to take libraries down piece by piece takes long."""
    asked = order.asked
    if not is_complete and asked.stays_open and not is_interrupted and not asked.is_directory:
        leave(SOME_FAILED if report.undelivered else OK)  # it was ended as it is meant to be
    if not is_complete:
        has_commands = any(alert.command for alert in order.config.alerts)
        tell_stopped(is_interrupted, asked.place if asked.is_directory else None, ray, has_commands)
        leave(INTERRUPTED)
    leave(SOME_FAILED if report.num_failed or report.undelivered else OK)
