"""Modbus devices as data: one YAML file each, shipped beside this module or written by the user.

`names` lists what ships without reading it; `load` takes one of those names or the path of a YAML file.
"""

from __future__ import annotations

import difflib
import functools
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keeld.errors import ConfigError, Problem
from keeld.text import clean

if TYPE_CHECKING:
    from keeld.profiles.model import Profile

_SHIPPED = Path(__file__).parent
_ENDINGS = (".yaml", ".yml")


@functools.cache
def names() -> tuple[str, ...]:
    """List the profiles that ship with keeld."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.yaml")))


def load(name: str) -> Profile:
    """Give the profile of that name, or the one in the file at that path (it ends in .yaml).

    A file is read again after it has changed. Raises ConfigError with every problem of the file.
    """
    if name in names():
        return _read(name, _SHIPPED / f"{name}.yaml", None)
    if not name.endswith(_ENDINGS):
        raise ConfigError([_unknown(name)])
    path = Path(name)
    try:
        status = path.stat()
    except (OSError, ValueError):
        raise ConfigError(
            [Problem(clean(name, 200), "there is no profile at this path", "check `profile:` of the device")]
        ) from None
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for, a device read without an end
        raise ConfigError([Problem(clean(name, 200), "this is no file", "check `profile:` of the device")])
    return _read(path.stem, path, (status.st_mtime_ns, status.st_size))


def schema() -> dict[str, Any]:
    """Give the JSON Schema of a profile's YAML, for editors."""
    from keeld.profiles.sections import ProfileSection

    return ProfileSection.model_json_schema()


def _unknown(name: str) -> Problem:
    nearest = difflib.get_close_matches(name, names(), n=1)
    remedy = f"did you mean `{nearest[0]}`?" if nearest else f"one of {', '.join(names())}, or the path of a .yaml file"
    return Problem("profile", f"there is no profile `{clean(name)}`", remedy)


@functools.lru_cache(maxsize=256)
def _read(name: str, path: Path, _stamp: tuple[int, int] | None) -> Profile:
    from keeld.profiles.build import build
    from keeld.profiles.document import Document

    return build(name, Document(path))
