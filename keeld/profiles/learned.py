"""What one device was found to give and to refuse, and for how long that is believed. Pure.

A device that is still starting refuses registers that it has, so a refusal is believed for a minute after a new
connection, then twice as long each time, at most an hour; what the very first poll of a connection was refused is not
believed at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from keeld.model import Group
from keeld.profiles.model import Profile
from keeld.profiles.plan import Agenda, plan

_SHORTEST_TRUST_S = 60.0
_LONGEST_TRUST_S = 3600.0


@dataclass(slots=True)
class Learned:
    """One device's requests as it takes them. `counts` are None until its count registers were read."""

    profile: Profile
    counts: tuple[int, ...] | None = None
    trust_s: float = _SHORTEST_TRUST_S
    is_first_poll: bool = True
    _since_s: float = -math.inf
    _connection: int | None = None
    _agendas: dict[Group, Agenda] = field(default_factory=dict)

    def renew(self, connection: int, now_s: float) -> None:
        """Forget what is too old; what is older than a minute already when there is a new connection.

        `now_s` is monotonic. A device that is let go after each poll has a new connection each time: it says nothing.
        """
        is_new = connection != self._connection
        if self._connection is not None and self.profile.manners.close_after_poll:
            is_new = False
        self._connection = connection
        if is_new and now_s - self._since_s >= _SHORTEST_TRUST_S:
            self.trust_s, self.is_first_poll, self.counts = _SHORTEST_TRUST_S, True, None
        elif now_s - self._since_s >= self.trust_s:
            self.trust_s = min(self.trust_s * 2, _LONGEST_TRUST_S)
        else:
            return
        self._since_s = now_s
        self._agendas.clear()

    def agenda(self, group: Group) -> Agenda:
        """Give the requests of a group as this device takes them."""
        if group not in self._agendas:
            self._agendas[group] = Agenda(plan(self.profile, group, self.counts or ()))
        return self._agendas[group]

    def settle(self, group: Group) -> None:
        """After a poll, forget the refusals that prove nothing.

        A group that was refused as a whole is asked for again, or nobody would notice that the device is back.
        """
        if group is Group.FAST and self.is_first_poll:
            self.is_first_poll = False
            self._agendas.clear()
        elif group in self._agendas and not self._agendas[group].blocks:
            del self._agendas[group]
