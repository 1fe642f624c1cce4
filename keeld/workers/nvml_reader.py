"""Answers the NVML worker's requests; lives in the one thread that talks to the driver."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import pynvml

from keeld.errors import Outage
from keeld.workers.lifeline import Fatal
from keeld.workers.nvml_events import XidListener
from keeld.workers.nvml_gpus import EXIT_NO_GPU, Node, ask_all, describe, fatal


class Reader:
    """The open driver, its GPUs and the events that wait to be told."""

    def __init__(self) -> None:
        self._epoch = os.getpid()
        self._listener = XidListener()
        self._node = Node(self._listener.add)
        self._driver = ""

    def open(self) -> None:
        """Open the driver and every GPU. Raises Fatal."""
        try:
            pynvml.nvmlInit()
            self._driver = str(pynvml.nvmlSystemGetDriverVersion())
        except pynvml.NVMLError as error:
            raise fatal(error.value) from None
        except UnicodeDecodeError:
            self._driver = ""
        self._listener.start()
        self._node.refresh()

    def close(self) -> None:
        """Let go of the driver, so that it can be unloaded or the GPUs be reset."""
        self._listener.stop()
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Read one tier of every GPU. Raises Fatal."""
        tier = request["read"]
        seen = self._recall(request.get("memory"))
        self._look_again(tier)
        gpus = ask_all(self._node.ranked(), tier)
        reached, xids = self._listener.unseen(seen)
        for gpu in gpus:
            gpu["xids"] = xids.get(gpu["bus"], []) if gpu["bus"] else []
        memory = {"epoch": self._epoch, "seen": reached, "buses": self._node.buses()}
        return {"driver": self._driver, "count": self._node.count, "gpus": gpus, "memory": memory}

    def _recall(self, memory: Any) -> int:
        """Take the addresses known before; give the number of the last event that arrived, 0 after a restart."""
        if not isinstance(memory, dict):
            return 0
        self._node.remember(memory.get("buses"))
        seen = memory.get("seen")
        return seen if memory.get("epoch") == self._epoch and isinstance(seen, int) else 0

    def _look_again(self, tier: str) -> None:
        """Look for GPUs that came or went; end the process when none is left, as only a new one may find them again."""
        node = self._node
        counted = node.counted()
        if counted != node.count or not node.answers() or (tier == "slow" and node.has_failures()):
            node.refresh()
        if tier == "once":
            node.forget_abilities()
        if counted == 0:
            raise Fatal(Outage.LOST, "the NVIDIA driver lists no GPU", EXIT_NO_GPU)
        if not node.answers():
            why = describe(node.ranked()[0].failed)
            raise Fatal(Outage.LOST, f"none of {counted} GPUs answers ({why}); see dmesg for XID errors", EXIT_NO_GPU)
