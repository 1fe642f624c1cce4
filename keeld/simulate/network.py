"""A loopback network of its own for each run, and enough open files to serve it."""

from __future__ import annotations

import random
import resource
import socket

from keeld.errors import KeeldError

WRITTEN_PREFIX = "127.77."
"""What addresses of simulated devices begin with in a configuration."""
CONTROL_PORT = 4029
_SPARE_FILES = 256
_CONNECTIONS_PER_DEVICE = 3
_TRIES = 64


class SimulatorError(KeeldError):
    """The simulated site cannot be served on this machine; the message says what to do."""


def claim_subnet(rng: random.Random | None = None) -> tuple[str, socket.socket]:
    """Find a 127.A.0.0/16 that no other run uses; give its prefix `127.A.` and the socket that holds the claim.

    The claim is the listening socket of the control port, so it ends with the process.
    """
    choices = (rng or random.SystemRandom()).sample(range(2, 255), _TRIES)
    for number in choices:
        prefix = f"127.{number}."
        held = socket.socket()
        try:
            held.bind((f"{prefix}255.254", CONTROL_PORT))
            held.listen()
        except OSError:
            held.close()
            continue
        held.setblocking(False)  # noqa: FBT003  the socket module's own signature
        return prefix, held
    raise SimulatorError("no free 127.A.0.0/16 among 64 tried: end other simulators, or look at what holds port 4029")


def raise_file_limit(devices: int) -> None:
    """Raise the soft limit of open files to what `devices` need; SimulatorError where the hard limit is below it."""
    needed = devices * _CONNECTIONS_PER_DEVICE + _SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise SimulatorError(
            f"{devices} devices need {needed} open files, the hard limit is {hard}: run `ulimit -Hn {needed}` as root"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
