"""How a node's currents load the lines of the node that feeds it: line by line, on one or two lines, or transformed."""

from __future__ import annotations

import math
from typing import NamedTuple

from keeld.trees import PowerNode

_SQRT3 = math.sqrt(3.0)
_THREE, _PAIR = 3, 2
_SAME_VOLTAGE = 0.12
"""Nominal voltages of one system differ by less: 230 and 240 V, 400 and 415 V."""


class Join(NamedTuple):
    """How a child hangs on its parent. `lines` is empty where each line of one is the same line of the other."""

    lines: tuple[str, ...]
    ratio: float
    """The parent's A for each of the child's."""
    is_transformed: bool = False
    """Whether what the lines carry on one side says only between which ends they lie on the other."""

    @property
    def is_across(self) -> bool:
        """Whether the child hangs between two lines of its parent."""
        return len(self.lines) == _PAIR


def join_of(child: PowerNode, parent: PowerNode) -> Join | None:
    """Say how a child hangs on its parent; None where the configuration does not tell."""
    if child.voltage_volts is None or parent.voltage_volts is None:
        return None
    if child.is_direct_current != parent.is_direct_current:
        return Join((), 1.0, is_transformed=True)
    if child.phases == parent.phases:
        ratio = child.voltage_volts / parent.voltage_volts
        return Join((), 1.0) if is_same(ratio) else Join((), ratio, is_transformed=True)
    if parent.phases == _THREE and child.lines:
        across = parent.voltage_volts / (1.0 if len(child.lines) == _PAIR else _SQRT3)
        ratio = child.voltage_volts / across
        return Join(child.lines, 1.0 if is_same(ratio) else ratio)
    return None


def is_same(ratio: float) -> bool:
    """Whether two nominal voltages of this ratio belong to one system, without a transformer between."""
    return abs(ratio - 1.0) <= _SAME_VOLTAGE
