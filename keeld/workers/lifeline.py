"""What ties a worker to the process that started it: it must never outlive it, and never garble its answers."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import threading
from typing import Any, NoReturn

from keeld.errors import Outage

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Fatal(Exception):  # noqa: N818 - it reads as a state, and never leaves the worker as an exception
    """The worker cannot go on; `outage` and `detail` are its last words and `exit_code` its exit code.

    Never leaves workers.
    """

    def __init__(self, outage: Outage, detail: str, exit_code: int) -> None:
        super().__init__(detail)
        self.outage = outage
        self.detail = detail
        self.exit_code = exit_code


def follow_parent() -> None:
    """Ask the kernel for SIGTERM when the parent dies, even by SIGKILL; the end of stdin is the portable sign."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)


class Voice:
    """The worker's only way to its parent: whole JSON lines, one writer at a time.

    Takes the real stdout for itself and points descriptor 1 at stderr, so that a chatty library cannot garble it.
    """

    def __init__(self) -> None:
        self._descriptor = os.dup(1)
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def say(self, message: dict[str, Any]) -> None:
        """Write one message; ends the process when nobody listens any more."""
        line = json.dumps(message, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        try:
            with self._lock:
                while line:
                    line = line[os.write(self._descriptor, line) :]
        except OSError:
            os._exit(0)

    def last_words(self, reason: Fatal) -> NoReturn:
        """Say why the worker ends, and end it without waiting for threads that may hang in the driver."""
        self.say({"fatal": str(reason.outage), "detail": reason.detail})
        os._exit(reason.exit_code)
