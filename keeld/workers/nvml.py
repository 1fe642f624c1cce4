"""Asks the NVIDIA driver on behalf of keeld: `python -m keeld.workers.nvml`.

Theory of operation
    A request is one JSON line on stdin, `{"id": 7, "read": "fast", "memory": null}`; `read` is fast, slow or once.
    Its answer is one JSON line on stdout with the same id. The line with id 0 comes first, when the GPUs are open,
    which takes about 1.5 s each without the persistence mode. `{"fatal": reason, "detail": …}` is always the last line.
    `memory` is handed back as it was received in the last answer: what must outlive this process (the PCI addresses
    that ranks are counted over) and which events have arrived.

    One thread makes every call to the driver, another waits for events, and the main thread only reads stdin: so it can
    always end the process, however long a driver call takes. It ends on the end of stdin, on SIGTERM and when the
    parent dies. Exit codes: 0 told to end, 3 no library, 4 no driver, 5 versions differ, 6 the wrong Python binding,
    7 no GPU that answers, 8 another NVML failure, 70 a defect.

A GPU that fails is reported by itself; the others keep answering.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from keeld.errors import Outage
from keeld.workers.lifeline import Fatal, Voice, follow_parent

_EXIT_BINDING = 6
_EXIT_DEFECT = 70
_MOST_LINE_BYTES = 64 << 10
_LEAVE_S = 2.0

Requests = queue.Queue[dict[str, Any] | None]


def _check_binding() -> None:
    """Make sure that `pynvml` is nvidia-ml-py and new enough. Raises Fatal."""
    try:
        import pynvml
    except ImportError:
        words = "nvidia-ml-py is not installed for the worker's Python"
        raise Fatal(Outage.DRIVER_DOWN, words, _EXIT_BINDING) from None
    if not hasattr(pynvml, "NVML_FI_DEV_POWER_INSTANT"):
        words = "an old `pynvml` package hides nvidia-ml-py; uninstall pynvml, then reinstall nvidia-ml-py"
        raise Fatal(Outage.DRIVER_DOWN, words, _EXIT_BINDING)


def _serve(requests: Requests, voice: Voice) -> None:
    """Answer until None comes."""
    try:
        _check_binding()
        from keeld.workers.nvml_reader import Reader  # needs the binding that was just checked

        reader = Reader()
        reader.open()
        voice.say({"id": 0})
        while (request := requests.get()) is not None:
            voice.say({"id": request.get("id"), "read": request["read"]} | reader.answer(request))
        reader.close()
    except Fatal as reason:
        voice.last_words(reason)


def _report_defect(failure: threading.ExceptHookArgs) -> None:
    """Say where a defect is in one line, and end: half a worker would look alive."""
    frames = traceback.extract_tb(failure.exc_traceback)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    sys.stderr.write(f"defect in the worker: {failure.exc_type.__name__}: {failure.exc_value} at {place}\n")
    sys.stderr.flush()
    os._exit(_EXIT_DEFECT)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        request = json.loads(line)
    except ValueError:
        return None
    return request if isinstance(request, dict) and request.get("read") in {"fast", "slow", "once"} else None


def _listen(requests: Requests, voice: Voice) -> None:
    """Hand requests over until stdin ends; a request that is no request is refused and changes nothing."""
    while line := sys.stdin.buffer.readline(_MOST_LINE_BYTES):
        request = _parse(line)
        if request is None:
            voice.say({"refused": "not a request"})
            continue
        try:
            requests.put_nowait(request)
        except queue.Full:
            voice.say({"refused": "one request at a time", "id": request.get("id")})


def _told_to_end(_signal: int, _frame: object) -> None:
    raise SystemExit


def main() -> None:
    """Run the worker; never returns normally."""
    follow_parent()
    voice = Voice()
    threading.excepthook = _report_defect
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes stdin
    requests: Requests = queue.Queue(maxsize=1)
    driver = threading.Thread(target=_serve, args=(requests, voice), name="driver", daemon=True)
    try:
        signal.signal(signal.SIGTERM, _told_to_end)
        driver.start()
        _listen(requests, voice)
    except SystemExit:
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _leave(requests, driver)


def _leave(requests: Requests, driver: threading.Thread) -> None:
    """Let the driver thread close the library if it is free; do not wait for it if it hangs."""
    try:
        requests.put(None, timeout=_LEAVE_S)
    except queue.Full:
        os._exit(0)
    driver.join(_LEAVE_S)
    os._exit(0)


if __name__ == "__main__":
    main()
