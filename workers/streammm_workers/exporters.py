"""Snapshots of a run as metrics: served for Prometheus by this process, and on Ray given to Ray's own metrics too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from streammm.errors import ConfigError, SourceError
from streammm.journal import Entry
from streammm.types import SourceReport
from streammm_workers.observers import Observer

_LOOPBACK = "127.0.0.1"

_COUNTERS = {
    "segments": ("num_rows", "Segments whose rows were committed"),
    "media_seconds": ("media_seconds", "Seconds of media in these segments"),
    "sources_done": ("num_done", "Sources that were done to their end"),
    "sources_skipped": ("num_skipped", "Sources that were left out on purpose"),
    "sources_requeued": ("num_requeued", "Times that a source was put back because a worker died"),
}
_GAUGES = {
    "sources_listed": ("num_listed", "Sources listed so far"),
    "sources_under_way": ("num_under_way", "Sources that are worked on"),
    "shards": ("num_shards", "Shards at work"),
    "media_seconds_per_second": ("media_seconds_per_second", "Rate of the last half minute"),
}
_STAGE_COUNTERS = {
    "stage_busy_seconds": ("busy_seconds", "Seconds at work, of all workers of a stage"),
    "stage_cpu_seconds": ("cpu_seconds", "Seconds that processes of a stage's own have computed"),
    "stage_segments": ("num_segments", "Segments that a stage has done"),
    "stage_deaths": ("num_deaths", "Workers of a stage that died or hung, and were replaced"),
}
_STAGE_GAUGES = {
    "stage_waiting": ("num_waiting", "Segments that wait for a stage"),
    "stage_workers": ("num_workers", "Workers of a stage"),
    "stage_load": ("load", "Share of the last half minute in which a stage was at work"),
}
_SINK_COUNTERS = {
    "sink_delivered": ("delivered", "Entries that a sink has taken"),
    "sink_failures": ("failures", "Times that a sink could not be reached"),
}
_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)


def families(snapshot: Mapping[str, Any]) -> Iterator[Metric]:
    """A snapshot as metrics; see `metrics.Rates.snapshot`."""
    for name, (key, text) in _COUNTERS.items():
        yield CounterMetricFamily(f"streammm_{name}", text, value=snapshot[key])
    for name, (key, text) in _GAUGES.items():
        yield GaugeMetricFamily(f"streammm_{name}", text, value=snapshot[key])
    yield _labelled(CounterMetricFamily, "events", "Events that opened", "label", snapshot["events"])
    yield _labelled(CounterMetricFamily, "sources_quarantined", "Sources given up", "reason", snapshot["quarantined"])
    outlets = snapshot["outlets"]
    behind = snapshot["sinks_behind"] | {sink: found["behind"] for sink, found in outlets.items()}
    yield _labelled(GaugeMetricFamily, "sink_behind", "Entries a sink has yet to take", "sink", behind)
    for name, (key, text) in _SINK_COUNTERS.items():
        yield _labelled(CounterMetricFamily, name, text, "sink", {sink: found[key] for sink, found in outlets.items()})
    refused = {sink: float(found["refused"]) for sink, found in outlets.items()}
    yield _labelled(GaugeMetricFamily, "sink_refused", "Entries set aside, which a sink will not take", "sink", refused)
    down = {sink: float(bool(found["error"])) for sink, found in outlets.items()}
    yield _labelled(GaugeMetricFamily, "sink_down", "1 while a sink cannot be reached", "sink", down)
    lag = snapshot["lag_seconds"]
    yield _labelled(GaugeMetricFamily, "live_lag_seconds", "Lag of a live source's decoder", "source", lag)
    stages = snapshot["stages"]
    for kind, metrics in ((CounterMetricFamily, _STAGE_COUNTERS), (GaugeMetricFamily, _STAGE_GAUGES)):
        for name, (key, text) in metrics.items():
            yield _labelled(kind, name, text, "stage", {stage: found[key] for stage, found in stages.items()})
    histogram = HistogramMetricFamily("streammm_batch_size", "Segments in a batch", labels=["stage"])
    for stage, found in stages.items():
        sizes = {int(size): count for size, count in found["batch_sizes"].items()}
        buckets = [(str(top), float(sum(n for size, n in sizes.items() if size <= top))) for top in _BATCH_SIZES]
        buckets.append(("+Inf", float(sum(sizes.values()))))
        histogram.add_metric([stage], buckets, sum_value=float(sum(size * n for size, n in sizes.items())))
    yield histogram


def _labelled(
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily],
    name: str,
    text: str,
    label: str,
    values: Mapping[str, float],
) -> Metric:
    family = kind(f"streammm_{name}", text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


class Exporter(Collector):
    """Stands between a run and its observer, and makes metrics of what it is told.

    Args:
        observer: who is told everything.
        address: ``[HOST:]PORT`` to serve metrics at, by default on this machine only; None for not at all.
        uses_ray: give them to Ray as well, where they are collected with those of its nodes.

    Raises:
        ConfigError: the address cannot be used.
    """

    def __init__(self, observer: Observer, address: str | None = None, uses_ray: bool = False) -> None:
        self._observer = observer
        self._snapshot: dict[str, Any] | None = None
        self._ray = RayMetrics() if uses_ray else None
        self._server: Any = None
        if address is not None:
            host, _, port = address.rpartition(":")
            registry = CollectorRegistry()
            registry.register(self)
            try:
                self._server, _ = start_http_server(int(port), host.strip("[]") or _LOOPBACK, registry)
            except (OSError, ValueError, OverflowError) as error:
                raise ConfigError(f"--metrics {address}: cannot be listened on: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def collect(self) -> Iterator[Metric]:
        """What Prometheus asks for."""
        if self._snapshot is not None:
            yield from families(self._snapshot)

    def entries(self, entries: Sequence[Entry]) -> None:
        """Passed on."""
        self._observer.entries(entries)

    def finished(self, report: SourceReport) -> None:
        """Passed on."""
        self._observer.finished(report)

    def failed(self, error: SourceError) -> None:
        """Passed on."""
        self._observer.failed(error)

    def skipped(self, source: str, reason: str, detail: str) -> None:
        """Passed on."""
        self._observer.skipped(source, reason, detail)

    def progress(self, snapshot: dict[str, Any]) -> None:
        """Passed on, and kept for whoever collects."""
        self._snapshot = snapshot
        if self._ray is not None:
            self._ray.put(snapshot)
        self._observer.progress(snapshot)


class RayMetrics:
    """The same metrics through Ray, which serves them beside its own on every node that has its dashboard agent."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}
        self._counted: dict[tuple[str, tuple[str, ...]], float] = {}

    def put(self, snapshot: Mapping[str, Any]) -> None:
        """Takes a snapshot."""
        import ray
        from ray.util import metrics

        if not ray.is_initialized():
            return
        for family in families(snapshot):
            kind = {"counter": metrics.Counter, "gauge": metrics.Gauge}.get(family.type)
            if kind is None:
                continue
            for sample in family.samples:
                name = family.name + ("_total" if family.type == "counter" else "")
                tags = dict(sample.labels)
                if name not in self._made:
                    self._made[name] = kind(name, family.documentation, tag_keys=tuple(tags))
                if family.type == "gauge":
                    self._made[name].set(sample.value, tags=tags)
                    continue
                key = (name, tuple(tags.values()))
                if (more := sample.value - self._counted.get(key, 0.0)) > 0:
                    self._made[name].inc(more, tags=tags)
                    self._counted[key] = sample.value
