"""Hears the XID errors that the NVIDIA driver reports as they happen; a poll alone would miss them."""

from __future__ import annotations

import collections
import contextlib
import threading
from typing import Any

import pynvml

from keeld.workers.nvml_gpus import Gpu, address_of

_XID = 0x8  # nvmlEventTypeXidCriticalError
_WAIT_MS = 1000
_PAUSE_S = 1.0
_MOST_EVENTS = 256
_NO_EVENTS = frozenset({1, 3, 9, 12, 13, 18})
"""Library closed, not supported, driver gone, function not found: no event will come from this process any more."""


class XidListener:
    """Keeps each event until its delivery was confirmed: events are numbered, and a request names the last one seen."""

    def __init__(self) -> None:
        self._events: collections.deque[tuple[int, str, int]] = collections.deque(maxlen=_MOST_EVENTS)
        self._lock = threading.Lock()
        self._last = 0
        self._bus_of: dict[int, str] = {}
        self._set: Any = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="xid", daemon=True)

    def start(self) -> None:
        """Open the event set; on a driver without events nothing is heard and nothing fails."""
        try:
            self._set = pynvml.nvmlEventSetCreate()
        except pynvml.NVMLError:
            return
        self._thread.start()

    def add(self, gpu: Gpu) -> None:
        """Listen to a GPU as well; one that has no events is left out."""
        if self._set is None:
            return
        self._bus_of[address_of(gpu.handle)] = gpu.bus
        try:
            wanted = _XID & pynvml.nvmlDeviceGetSupportedEventTypes(gpu.handle)
            if wanted:
                pynvml.nvmlDeviceRegisterEvents(gpu.handle, wanted, self._set)
        except pynvml.NVMLError:
            self._bus_of.pop(address_of(gpu.handle), None)

    def unseen(self, after: int) -> tuple[int, dict[str, list[int]]]:
        """Forget what was delivered up to number `after`; give the number reached and the rest by PCI address."""
        with self._lock:
            while self._events and self._events[0][0] <= after:
                self._events.popleft()
            waiting: dict[str, list[int]] = {}
            for _, bus, xid in self._events:
                waiting.setdefault(bus, []).append(xid)
            return self._last, waiting

    def stop(self) -> None:
        """End the wait and free the event set; takes up to one wait."""
        self._stopped.set()
        if self._set is None:
            return
        self._thread.join(2 * _PAUSE_S)
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlEventSetFree(self._set)

    def _listen(self) -> None:
        while not self._stopped.is_set():
            try:
                event = pynvml.nvmlEventSetWait(self._set, _WAIT_MS)
            except pynvml.NVMLError as error:
                if error.value in _NO_EVENTS:
                    return
                if error.value != pynvml.NVML_ERROR_TIMEOUT:
                    self._stopped.wait(_PAUSE_S)  # a lost GPU may fail every wait at once
                continue
            if event.eventType & _XID:
                self._keep(self._bus_of.get(address_of(event.device), ""), int(event.eventData))

    def _keep(self, bus: str, xid: int) -> None:
        with self._lock:
            self._last += 1
            self._events.append((self._last, bus, xid))
