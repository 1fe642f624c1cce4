"""Forecasts of a breach, keeld's beside `predict_linear`: how often each cries wolf, and how early it warns.

Two kinds of load, minute by minute, as shares of a limit. *Wandering* ones never get there: a day's swing of 6 % about
70 %, jobs that lift or lower them by 8 % for hours, and noise of 1.5 %: every warning on them is a false one.
*Climbing* ones rise from 70 % at one pace until they cross. The peer is least squares through the last hour, drawn out
by four hours; both are asked every five minutes and believed after a quarter of an hour.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from statistics import fmean, median

from keeld.budgets.forecast import EVALUATE_MINUTES, HOLD_EVALUATIONS, WINDOW_MINUTES, Minutes, foresee

SEEDS = 20
RAMPS = {0.0006: None, 0.0012: 100.0, 0.0030: 40.0}
"""Climb a minute, as a share of the limit, to the least minutes of warning that are asked of keeld."""
MOST_FALSE_A_WEEK = 0.2
_MINUTES_A_DAY = 1440
_DAYS = 7
_LEVEL, _NOISE, _SWING, _JOB = 0.70, 0.015, 0.06, 0.08
_START = 200
_AHEAD_MINUTES = 240
_SLOTS_A_MINUTE = 6

Verdicts = Iterator[tuple[int, bool]]
"""The minute, and whether a warning is believed then."""


def wandering(seed: int) -> list[float]:
    """Give a week of a load that stays below its limit."""
    dice = random.Random(seed)
    jobs: list[float] = []
    while len(jobs) < _DAYS * _MINUTES_A_DAY:
        jobs += [dice.choice((-_JOB, 0.0, _JOB))] * (20 + int(dice.expovariate(1 / 240)))
    return [
        _LEVEL + _SWING * math.sin(math.tau * minute / _MINUTES_A_DAY) + dice.gauss(0.0, _NOISE) + job
        for minute, job in enumerate(jobs[: _DAYS * _MINUTES_A_DAY])
    ]


def climbing(seed: int, pace: float) -> list[float]:
    """Give a load that begins to climb at minute 200, up to the minute in which it crosses its limit."""
    dice = random.Random(seed)
    crossing = _START + int((1.0 - _LEVEL) / pace)
    return [_LEVEL + dice.gauss(0.0, _NOISE) + max(0, minute - _START) * pace for minute in range(crossing)]


def keeld_warns(load: list[float]) -> Verdicts:
    """Run keeld's own way of keeping and judging an hour."""
    minutes = Minutes()
    for minute, ratio in enumerate(load):
        for _ in range(_SLOTS_A_MINUTE):
            minutes.add(ratio, minute)
        if (minute + 1) % EVALUATE_MINUTES == 0:
            minutes.evaluate(minute + 1)
            yield minute + 1, minutes.is_held


def peer_warns(load: list[float]) -> Verdicts:
    """Run `predict_linear(load[1h], 4h) > limit` for 15 minutes."""
    streak = 0
    for minute in range(WINDOW_MINUTES, len(load), EVALUATE_MINUTES):
        streak = streak + 1 if _predict_linear(load[minute - WINDOW_MINUTES : minute]) > 1.0 else 0
        yield minute, streak >= HOLD_EVALUATIONS


def _predict_linear(window: list[float]) -> float:
    middle, mean = (len(window) - 1) / 2, fmean(window)
    squares = sum((at - middle) ** 2 for at in range(len(window)))
    slope = sum((at - middle) * (value - mean) for at, value in enumerate(window)) / squares
    return mean + slope * (middle + _AHEAD_MINUTES)


def activations(verdicts: Verdicts) -> list[int]:
    """Give the minutes in which a warning begins."""
    known = [(0, False), *verdicts]
    return [minute for (_, before), (minute, after) in pairwise(known) if after and not before]


def lead(warns: Callable[[list[float]], Verdicts], load: list[float]) -> int:
    """Give the minutes between the first warning about a climb and its crossing; 0 where there was none."""
    return next((len(load) - minute for minute in activations(warns(load)) if minute > _START), 0)


def run() -> bool:
    """Print the table; tell whether keeld keeps its bounds."""
    own_false, peer_false = (
        fmean(len(activations(warns(wandering(seed)))) for seed in range(SEEDS)) for warns in (keeld_warns, peer_warns)
    )
    kept = own_false <= MOST_FALSE_A_WEEK
    print(f"{f'Forecast of a breach, {SEEDS} seeds':<46}{'predict_linear':>15}{'keeld':>8}{'bound':>10}")
    _print_row("false warnings per series and week", peer_false, own_false, f"<= {MOST_FALSE_A_WEEK:g}")
    for pace, least in RAMPS.items():
        peer, own = (
            median(lead(warns, climbing(seed, pace)) for seed in range(SEEDS)) for warns in (peer_warns, keeld_warns)
        )
        kept &= least is None or own >= least
        words = f"minutes of warning, {pace * 100:.2f} % a minute"
        _print_row(words, peer, own, "" if least is None else f">= {least:g}")
    for words, pace in (("CPU of a calm series, µs", 0.0), ("CPU of a climbing one, µs", 0.0012)):
        _print_row(words, None, _cost_us(pace), "")
    return kept


def _print_row(words: str, peer: float | None, own: float, bound: str) -> None:
    print(f"{words:<46}{'' if peer is None else f'{peer:.2f}':>15}{own:>8.2f}{bound:>10}")


def _cost_us(pace: float, rounds: int = 200) -> float:
    """Time one evaluation of an hour at 80 % that climbs at a pace."""
    dice = random.Random(1)
    times = [float(minute) for minute in range(WINDOW_MINUTES)]
    load = [0.8 + dice.gauss(0.0, _NOISE) + minute * pace for minute in times]
    began = time.process_time()
    for _ in range(rounds):
        foresee(times, load)
    return (time.process_time() - began) / rounds * 1e6
