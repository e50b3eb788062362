"""The commands that only look: `streammm status`, `plan`, `probe`, `models`, `schema`, `config`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.text import Text

from streammm.cli.options import OK, SOME_FAILED, ConfigFile, Settings, Sources
from streammm.config import Config, explained, load
from streammm.errors import ConfigError, SourceError

_out = Console()
_err = Console(stderr=True)

_BENCH_SEGMENTS = 16


def schema(
    kind: Annotated[
        Literal["row", "event", "quarantine", "alert"] | None,
        typer.Argument(help="Of one kind of line. Default: of all."),
    ] = None,
) -> None:
    """Print the JSON Schema of what is written."""
    from streammm.schema import FORMS, published

    found = published()
    if kind is not None:
        found = {**found, "anyOf": [{"$ref": f"#/$defs/{FORMS[kind].__name__}"}]}
    typer.echo(json.dumps(found, indent=2))


def status(
    run_directory: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Directory of a run.")],
    as_json: Annotated[bool, typer.Option("--json", help="As one line of JSON.")] = False,
) -> None:
    """Show how a run stands, from any terminal, while it goes on or afterwards."""
    from streammm.run_directory import status_of
    from streammm.sinks.progress import as_line, removed_as_line, sizes_as_line

    found = status_of(run_directory)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    sources = found["sources"]
    _out.print(
        f"[bold]{'running' if found['is_running'] else 'not running'}[/]  "
        f"{sources['done']} done, {sources['todo']} to do, {sources['quarantined']} quarantined, "
        f"{sources['skipped']} skipped",
        highlight=False,
    )
    _out.print(
        f"{found['segments']} segments, {found['events']} events, {found['media_seconds']:.1f} s of media, "
        f"{found['errors']} errors, "
        f"{found['restarts']} restarts, {found['quarantined_segments']} segments quarantined",
        highlight=False,
    )
    errors = {name: state["error"] for name, state in (found["progress"] or {}).get("outlets", {}).items()}
    for name, sink in found["sinks"].items():
        if name in errors or sink["refused"]:
            error = f": {errors[name]}" if found["is_running"] and errors.get(name) else ""
            line = f"  {name}: {sink['behind']} behind, {sink['refused']} refused{error}"
            _out.print(line, highlight=False, markup=False, soft_wrap=True)
    for kind in ("quarantined", "skipped"):
        for reason, count in sorted(found[kind].items()):
            _out.print(f"  {kind}, {reason}: {count}", highlight=False, markup=False)
    if found["progress"] and (removed := removed_as_line(found["progress"])):
        _out.print(removed, highlight=False, markup=False, soft_wrap=True)
    if found["progress"] and (sizes := sizes_as_line(found["progress"])):
        _out.print(sizes, highlight=False, markup=False, soft_wrap=True)
    if found["is_running"] and found["progress"]:
        _out.print(as_line(found["progress"]), highlight=False, markup=False, soft_wrap=True)


def plan(
    run_directory: Annotated[
        Path, typer.Argument(metavar="RUN_DIR", help="Directory of a short run over media like those that are to come.")
    ],
    hours: Annotated[float, typer.Option(min=0.0, help="Hours of media that are to be done.")],
    cores: Annotated[int | None, typer.Option(min=1, help="Cores of a node. Default: those of this machine.")] = None,
    gpus: Annotated[float, typer.Option(min=0.0, help="GPUs of a node.")] = 0.0,
    nodes: Annotated[int, typer.Option(min=1, help="How many nodes there are.")] = 1,
    days: Annotated[
        float | None,
        typer.Option(min=0.001, help="In how many days it has to be done; tells the nodes that takes."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one line of JSON.")] = False,
) -> None:
    """Estimate wall time, nodes and storage of a large run from what a short one cost."""
    from dataclasses import asdict

    from streammm.building.decoding import decode_options
    from streammm.run_directory import done_in, status_of
    from streammm_workers.bounds import segment_bytes
    from streammm_workers.estimate import costs_of, estimate
    from streammm_workers.estimate_table import render
    from streammm_workers.sizes import num_cores

    config, done = done_in(run_directory)
    costs = costs_of(run_directory, config, status_of(run_directory), done, segment_bytes(decode_options(config)))
    cores = cores or num_cores()
    found = estimate(costs, hours, cores=cores, gpus=gpus, nodes=nodes, days=days)
    if as_json:
        typer.echo(json.dumps({"costs": asdict(costs), "estimate": asdict(found)}))
    else:
        _out.print(render(run_directory, costs, found, cores, gpus), highlight=False, soft_wrap=True)


def probe(
    sources: Sources,
    config_file: ConfigFile = None,
    settings: Settings = None,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each source.")] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Decode all of it to look for damage, not the start.")] = False,
) -> None:
    """Show what sources hold and what would be made of them: streams, real frame rate, damage, segments, advice."""
    from streammm.building.decoding import decode_options, listing_options
    from streammm.cli.probe_table import render
    from streammm.media.listing import list_sources
    from streammm.media.look import probe as look
    from streammm.media.skipped import Skipped

    config = load(config_file, settings or ())
    options = decode_options(config)
    num_failed = 0
    for name in list_sources(sources, listing_options(config)):
        if isinstance(name, Skipped):
            _err.print(Text.assemble(("skipped", "bold yellow"), f" {name.source}: {name.detail}"), soft_wrap=True)
            continue
        try:
            found = look(name, options, decode_seconds=float("inf") if deep else 10.0)
        except SourceError as error:
            num_failed += 1
            if as_json:
                typer.echo(json.dumps({"source": error.source, "reason": error.reason, "detail": error.detail}))
            else:
                _err.print(Text.assemble(("unreadable", "bold yellow"), f" {error}"), soft_wrap=True)
        else:
            if as_json:
                typer.echo(json.dumps(found.to_json(), ensure_ascii=False))
            else:
                _out.print(render(found), highlight=False)
    raise typer.Exit(SOME_FAILED if num_failed else OK)


def models(
    family: Annotated[
        str | None, typer.Argument(metavar="[FAMILY]", help="List the models of torchvision, timm or torchaudio.")
    ] = None,
    bench: Annotated[
        bool, typer.Option("--bench", help="Measure every runtime and precision here, and say which one auto takes.")
    ] = False,
    media: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --bench: encode this. Default: what is made up for it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --bench: a line of JSON for each.")] = False,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> None:
    """List the encoders and recognisers: what each works on, its size, its licence and whether it is installed."""
    if bench:
        _bench(load(config_file, settings or ()), media, as_json)
        return
    if media is not None or as_json or config_file is not None or settings:
        raise ConfigError("--media, --json, --config and --set are for --bench")
    from streammm.encoders.families import FAMILIES, catalogue
    from streammm.encoders.weights import MODELS
    from streammm.speech.weights import SPEECH_MODELS

    if family is not None:
        for line in catalogue(family):
            typer.echo(line)
        return
    for model in (*MODELS.values(), *SPEECH_MODELS.values()):
        installed = "" if model.is_installed else "  [bold yellow]not installed[/]"
        _out.print(
            f"[bold]{model.name}[/]  {model.modality}, {model.title}{installed}", highlight=False, soft_wrap=True
        )
        parameters = f"{model.num_parameters / 1e6:.1f} million parameters, " if model.num_parameters else ""
        size = f"{parameters}{model.size_bytes / 1e6:.1f} MB"
        _out.print(f"  {size}, from the package {model.distribution}", highlight=False, soft_wrap=True)
        _out.print(f"  licence: {model.licence}. {model.licence_note}", style="dim", highlight=False, soft_wrap=True)
    for prefix, one in FAMILIES.items():
        missing = f"  not installed: {', '.join(one.missing)}; {one.install}" if one.missing else ""
        title = f"  {', '.join(one.modalities)}, {one.title}"
        _out.print(Text.assemble((f"{prefix}:...", "bold"), title, (missing, "bold yellow")), soft_wrap=True)
        more = f"; streammm models {prefix} lists them" if one.has_catalogue else ""
        _out.print(Text(f"  {one.example}{more}"), soft_wrap=True)
        _out.print(Text(f"  weights: {one.weights}.", style="dim"), soft_wrap=True)
    _out.print(Text.assemble(("package.module:Class", "bold"), "  any, an encoder of yours"), soft_wrap=True)


def _bench(config: Config, media: Path | None, as_json: bool) -> None:
    """Measures the encoders of the configuration; text only where there is some, unless labels are looked up."""
    from dataclasses import asdict

    from streammm.building.decoding import decode_options
    from streammm.building.modalities import loaded_encoders
    from streammm.cli.bench_table import render
    from streammm.encoders.base import present
    from streammm.encoders.bench import bench
    from streammm.encoders.check_input import check_segments
    from streammm.encoders.trial import Place
    from streammm.media.read import read_first

    segments = {m: check_segments(m, _BENCH_SEGMENTS) for m in loaded_encoders(config)}
    if media is not None:
        read = read_first(str(media), decode_options(config), _BENCH_SEGMENTS)
        found = {m: [segment for segment in read if present([segment], m)[0]] for m in segments}
        segments = {m: some for m, some in found.items() if some}
    if not segments:
        raise ConfigError(f"{media} has nothing that the encoders can look at, listen to or read")
    runtime = config.runtime
    place = Place("torch" if runtime.torch_compile else runtime.backend, runtime.device, runtime.threads)
    with _err.status("") as shown:
        ways = list(bench({m: getattr(config.encoders, m) for m in segments}, place, segments, tell=shown.update))
    if as_json:
        for way in ways:
            typer.echo(json.dumps(asdict(way)))
        return
    for part in render(ways):
        _out.print(part, highlight=False)
    what = "segments that are made up for it" if media is None else f"the first segments of {media}"
    _out.print(f"\non {what}; agreement is with torch in fp32", highlight=False, markup=False, soft_wrap=True)


def show_config(
    config_file: ConfigFile = None,
    settings: Settings = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say above every key what it means.")] = False,
) -> None:
    """Print the resolved configuration in YAML."""
    config = load(config_file, settings or ())
    typer.echo(explained(config) if explain else config.to_yaml(), nl=False)
