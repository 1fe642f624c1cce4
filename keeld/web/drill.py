"""Ask for a drill, on the unix socket alone."""

from __future__ import annotations

import orjson
from aiohttp import web

from keeld.drills import DrillError
from keeld.web.acts import peer_name
from keeld.web.guard import answer, refusal
from keeld.web.source import Source

_HOLD_S = 10.0
_HOLD_MOST_S = 3600.0


class Drill:
    """Serves `POST /api/v1/drill`: `{"rule": ..., "target": ..., "escalate": false, "hold_s": 10}`."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def changes(self) -> list[web.RouteDef]:
        """List what may be asked on the unix socket alone."""
        return [web.post("/api/v1/drill", self._drill)]

    async def _drill(self, request: web.Request) -> web.Response:
        try:
            form = orjson.loads(await request.read())
            rule, target = form["rule"], form["target"]
            escalates, hold_s = form.get("escalate", False), form.get("hold_s", _HOLD_S)
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return refusal(400, "no drill", 'write {"rule": "leak", "target": "rack:r07"}')
        if not (isinstance(rule, str) and isinstance(target, str) and isinstance(escalates, bool)):
            return refusal(400, "rule and target are texts, escalate is true or false")
        if isinstance(hold_s, bool) or not isinstance(hold_s, int | float) or not 0 <= hold_s <= _HOLD_MOST_S:
            return refusal(400, "hold_s is no span", f"write seconds, at most {_HOLD_MOST_S:.0f}")
        try:
            begun = self._source.drill(rule, target, peer_name(request), escalates=escalates, hold_s=hold_s)
        except DrillError as error:
            return refusal(409, error.wrong, error.remedy)
        says = [{"notice": notice, "severity": severity} for notice, severity in begun.says]
        return answer({"key": begun.key, "alert_id": begun.alert_id, "hold_s": hold_s, "says": says})
