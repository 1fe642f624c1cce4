"""`keeld record FILE`: readings as JSON lines, from the running keeld as they come or from InfluxDB afterwards."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from keeld.cli import config_option

if TYPE_CHECKING:
    from keeld.settings import InfluxSettings, Settings


@click.command("record")
@click.argument("recording", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@config_option
@click.option("--socket", type=click.Path(path_type=Path), help="Ask on this unix socket, not on http.listen.")
@click.option("--device", multiple=True, help="Only this device; may be given again.")
@click.option("--rack", multiple=True, help="Only what is in this rack; may be given again.")
@click.option("--kind", multiple=True, help="Only pdu, meter, miner ...; may be given again.")
@click.option("--for", "span", help="Stop after so long: 10m, 1h; else at Ctrl-C.")
@click.option("--influx", "url", help="Export from this InfluxDB instead; access is taken from the configuration.")
@click.option("--bucket", help="Bucket or database to export from, if not the configuration's.")
@click.option("--from", "since", help="With --influx: from when on, RFC 3339 or an age as 6h.")
@click.option("--to", "until", help="With --influx: until when; now where it is left out.")
def command(recording: Path, config_path: Path, url: str | None, **asked: Any) -> None:
    """Write readings into FILE as `keeld replay` reads them, one JSON object a line; - is standard output.

    A file that is there is not overwritten. With --influx the stored readings of a span are written, oldest first.
    """
    from keeld import config

    if url is None:
        lines = _stream(config.rehearse(config_path), **asked)
    else:
        lines = _exported(config.load(config_path), url, **asked)
    with _open(recording) as file:
        _write(lines, file)


def _write(lines: Iterator[bytes], file: IO[bytes]) -> None:
    written = 0
    try:
        for line in lines:
            file.write(line)
            written += 1
    except KeyboardInterrupt:
        pass
    finally:
        file.flush()
        click.echo(f"{written} batches written", err=True)


@contextmanager
def _open(recording: Path) -> Iterator[IO[bytes]]:
    if str(recording) == "-":
        yield sys.stdout.buffer
        return
    try:
        file = recording.open("xb")
    except FileExistsError:
        raise click.UsageError(f"{recording} is there already; write another name") from None
    except OSError as error:
        raise click.UsageError(f"{recording}: {error.strerror}") from None
    try:
        with file:
            yield file
    finally:
        if not recording.stat().st_size:
            recording.unlink()  # nothing came: the name is free for the next try


def _span_s(text: str) -> float:
    from keeld.config.scalars import seconds

    span_s = seconds(text)
    if not span_s:
        raise click.UsageError(f"--for '{text}' is no span; write 90s, 10m or 1h")
    return span_s


def _stream(settings: Settings, *, socket: Path | None, span: str | None, **asked: Any) -> Iterator[bytes]:
    """Give the lines of the running keeld as they come; a loss that it tells of is told, and is no line."""
    from urllib.parse import urlencode

    from keeld.cli.running import follow

    span_s = None if span is None else _span_s(span)
    wanted = [(name, value) for name in ("device", "rack", "kind") for value in asked[name]]
    for line in follow(settings.http, socket, f"/api/v1/stream?{urlencode(wanted)}", span_s):
        if line.startswith(b'{"dropped"'):
            click.echo(f"lost, this reader was too slow: {line.decode().strip()}", err=True)
        elif not line.isspace():
            yield line


def _database(settings: Settings, url: str, bucket: str | None) -> InfluxSettings:
    """Give the access to a database: that of the configured one with this address, else none."""
    from dataclasses import replace

    from keeld.settings import InfluxSettings

    known = [influx for influx in settings.influx if influx.url.rstrip("/") == url.rstrip("/")]
    found = known[0] if known else InfluxSettings(name="export", url=url, api="v1")
    return found if bucket is None else replace(found, bucket=bucket)


def _exported(
    settings: Settings, url: str, *, bucket: str | None, since: str | None, until: str | None, **_: Any
) -> Iterator[bytes]:
    import asyncio

    import orjson

    from keeld.sinks.export import export

    if since is None:
        raise click.UsageError("--influx needs --from; write an age as 6h, or 2026-11-22T17:00:00Z")
    influx, now_ns = _database(settings, url, bucket), time.time_ns()
    since_ns, until_ns = _time_ns(since, now_ns), now_ns if until is None else _time_ns(until, now_ns)
    if since_ns >= until_ns:
        raise click.UsageError("--from is not before --to")
    with asyncio.Runner() as runner:
        forms = export(influx, settings.site, since_ns=since_ns, until_ns=until_ns)

        async def next_form() -> dict[str, Any] | None:
            return await anext(forms, None)

        try:
            while (form := runner.run(next_form())) is not None:
                yield orjson.dumps(form, option=orjson.OPT_APPEND_NEWLINE)
        finally:
            runner.run(_end(forms))


async def _end(forms: AsyncIterator[dict[str, Any]]) -> None:
    async with aclosing(forms):  # type: ignore[type-var]  # what a generator function gives can be closed
        return


def _time_ns(text: str, now_ns: int) -> int:
    from keeld.batch_json import BadBatchError, read_time
    from keeld.config.scalars import seconds

    age_s = seconds(text)
    if age_s is not None:
        return now_ns - round(age_s * 1e9)
    try:
        return read_time(text)
    except BadBatchError as error:
        raise click.UsageError(str(error)) from None
