"""`keeld replay`: what would have been notified, by this configuration, on recorded readings."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from keeld.cli import EXIT_FAILED, config_option

if TYPE_CHECKING:
    from gzip import GzipFile

    from keeld.model import Transition
    from keeld.replay import Tally

_LINE_MOST = 1 << 20
_COMPLAINTS_MOST = 1000


@click.command("replay")
@config_option
@click.option(
    "--input",
    "recording",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    required=True,
    help="Recorded batches and events, one JSON object a line; - for standard input, .gz is unpacked.",
)
@click.option("--transitions", "shows_all", is_flag=True, help="Print every change of state, told or not.")
@click.option("--run-on", default="0s", show_default=True, help="Let time go on after the last line: 15m, 2h.")
@click.option("--observe", default="off", show_default=True, help="Tell nothing of what is new for so long: off, 72h.")
@click.pass_context
def command(
    ctx: click.Context, config_path: Path, recording: Path, run_on: str, observe: str, *, shows_all: bool
) -> None:
    """Judge recorded batches by this configuration, in simulated time, and print one JSON line per notification.

    Lines are what `keeld record` writes. A line that is bad, of an unknown device or older than the newest one is
    reported with its number and does not stop the replay.
    """
    import orjson

    from keeld import config
    from keeld.replay import Replay
    from keeld.replay.forms import notice_kind, notification_form, transition_form

    settings = config.rehearse(config_path)
    run_on_s = _span_s(run_on, "--run-on")
    observe_s = 0.0 if observe == "off" else _span_s(observe, "--observe")
    out = sys.stdout.buffer
    complaints = _Complaints(recording)

    def tell(moves: Sequence[Transition]) -> None:
        for move in moves:
            if shows_all or notice_kind(move):
                form = transition_form(move) if shows_all else notification_form(move)
                out.write(orjson.dumps(form, option=orjson.OPT_APPEND_NEWLINE))

    replay = Replay(settings.site, settings.rules, tell=tell, complain=complaints.take, observe_s=observe_s)
    for number, line in _lines(recording):
        replay.take(number, line)
    replay.finish(run_on_s=run_on_s)
    out.flush()
    complaints.close()
    click.echo(_summary(recording, replay.tally), err=True)
    ctx.exit(0 if replay.tally.batches or not replay.tally.lines else EXIT_FAILED)


def _span_s(text: str, option: str) -> float:
    from keeld.config.scalars import seconds

    span_s = seconds(text)
    if span_s is None:
        raise click.BadParameter(f"'{text}' is no span; write 90s, 15m or 2h", param_hint=option)
    return span_s


def _lines(recording: Path) -> Iterator[tuple[int, bytes]]:
    """Give the lines with their numbers; of one that is too long only its beginning, blank ones not at all."""
    with _open(recording) as file:
        number = 0
        while line := file.readline(_LINE_MOST):
            number += 1
            rest = line
            while not rest.endswith(b"\n") and len(rest) == _LINE_MOST:
                rest = file.readline(_LINE_MOST)
            if not line.isspace():
                yield number, line


def _open(recording: Path) -> IO[bytes] | GzipFile:
    if str(recording) == "-":
        return click.open_file("-", "rb")
    if recording.suffix == ".gz":
        import gzip

        return gzip.open(recording, "rb")
    return recording.open("rb", buffering=_LINE_MOST)


class _Complaints:
    """Prints what is wrong with lines; of what repeats only the first thousand, then how many more there were."""

    def __init__(self, recording: Path) -> None:
        self._name = "standard input" if str(recording) == "-" else str(recording)
        self._seen: Counter[str] = Counter()

    def take(self, number: int, words: str) -> None:
        """Print one complaint."""
        sort = "older lines" if "older than the newest" in words else words
        if len(self._seen) > _COMPLAINTS_MOST and sort not in self._seen:
            sort = "other lines"
        self._seen[sort] += 1
        if self._seen[sort] <= _COMPLAINTS_MOST:
            click.echo(f"{self._name}:{number}: {words}", err=True)

    def close(self) -> None:
        """Say how much was left out."""
        for sort, count in self._seen.items():
            if count > _COMPLAINTS_MOST:
                click.echo(f"{self._name}: and {count - _COMPLAINTS_MOST} more lines: {sort}", err=True)


def _summary(recording: Path, tally: Tally) -> str:
    return (
        f"{recording}: {tally.lines} lines: {tally.batches} batches and {tally.events} events judged, "
        f"{tally.late} older than the newest, {tally.bad} refused"
    )
