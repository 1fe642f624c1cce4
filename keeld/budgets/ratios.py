"""How a node's capacity is handed out and used: diversity and oversubscription (power-cooling-alarms.md 1.5)."""

from __future__ import annotations

from collections.abc import Iterable


def diversity_ratio(peaks_watts: Iterable[float], coincident_watts: float) -> float | None:
    """Sum of the single peaks over the peak that they had together, at least 1; None where nothing was drawn."""
    if coincident_watts <= 0.0:
        return None
    return max(1.0, sum(peaks_watts) / coincident_watts)


def oversubscription_ratio(budgets_watts: Iterable[float], limit_watts: float) -> float | None:
    """Sum of the budgets below a node over its limit; None without a limit."""
    return sum(budgets_watts) / limit_watts if limit_watts > 0.0 else None
