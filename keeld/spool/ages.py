"""How old a parcel is, without believing the wall clock: a jump of a year must not evict a day's backlog. Pure."""

from __future__ import annotations

import collections

_MARK_EVERY_S = 600.0
_MARKS_MOST = 10_000


class Ages:
    """Parcels of this run are dated by monotonic marks, older ones by their file against the newest file found."""

    def __init__(self) -> None:
        self._first_seq = 0
        self._opened_s = 0.0
        self._newest_mtime_s = 0.0
        self._marks: collections.deque[tuple[int, float]] = collections.deque(maxlen=_MARKS_MOST)

    def open(self, first_seq: int, *, newest_mtime_s: float, now_s: float) -> None:
        """Begin a run: sequence numbers from `first_seq` on are its own."""
        self._first_seq = first_seq
        self._opened_s = now_s
        self._newest_mtime_s = newest_mtime_s

    def note(self, seq: int, now_s: float) -> None:
        """Remember when a parcel was made, to ten minutes."""
        if not self._marks or now_s - self._marks[-1][1] >= _MARK_EVERY_S:
            self._marks.append((seq, now_s))

    def age_s(self, seq: int, mtime_s: float, now_s: float) -> float:
        """Seconds since the parcel was made, never more than the truth by more than ten minutes."""
        if seq < self._first_seq:
            return max(0.0, self._newest_mtime_s - mtime_s) + now_s - self._opened_s
        while len(self._marks) > 1 and self._marks[1][0] <= seq:
            self._marks.popleft()  # only the oldest parcel is ever asked for
        return now_s - self._marks[0][1] if self._marks else 0.0
