"""Judge a site: batches go in, transitions and derived values come out. Pure; driven live or in simulated time."""

from keeld.alerts.restored import LevelState, RestoredAlarm
from keeld.watch.engine import Outcome, Watch

__all__ = ["LevelState", "Outcome", "RestoredAlarm", "Watch"]
