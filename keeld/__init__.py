"""keeld watches power and cooling where bitcoin mines become AI data centers.

The map of this package, in the order that data flows:

- `config` reads keeld.yaml into `settings` and `model`: every error at once, with its place and remedy.
- `links` carry bytes to devices; `drivers` (one file a protocol family) and `profiles` (Modbus devices as data) turn
  answers into readings; `poller` gives each its time, deadline and backoff. Accelerators answer from `workers`.
- `fanout` hands every batch to every part that wants it, each behind a bounded buffer.
- `budgets` and `alerts` are pure: intervals, limits, rules and the alarm state machine. `watch` drives them.
- `spool` makes a batch durable, `sender` brings it to the `sinks`, `history` keeps 72 h of rack minutes on this host.
- `state` keeps alarms over restarts; `notify` brings transitions to people.
- `web` is the API and the status page, `cli` the commands, `simulate` a site that answers over the real protocols.
- `app` builds, starts and stops all of it; it is the only module that knows every other.
"""

__version__ = "0.1.0"
