"""The configuration that the daemon should use with a simulated site, made from the one that was written for it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from keeld.errors import ConfigError, Problem
from keeld.simulate.network import WRITTEN_PREFIX

WRITTEN_WORKER = "exec:python3 -m keeld.simulate.nvml"
WRITTEN_DIRECTORY = "/run/keeld-simulated"
"""Where state files and storage are, as written; each run has a directory of its own in its place."""


def derive(text: str, *, prefix: str, directory: Path) -> str:
    """Move a configuration to this run's network, directory and interpreter."""
    worker = f"exec:{shlex.quote(sys.executable)} -m keeld.simulate.nvml"
    moved = text.replace(WRITTEN_WORKER, worker).replace(WRITTEN_DIRECTORY, str(directory))
    return moved.replace(WRITTEN_PREFIX, prefix)


def read(path: Path) -> str:
    """Read a configuration's text. Raises ConfigError."""
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise ConfigError([Problem(str(path), f"cannot be read: {error.strerror}", "check the path")]) from None
    except UnicodeDecodeError:
        raise ConfigError([Problem(str(path), "not UTF-8 text", "save the file as UTF-8")]) from None
