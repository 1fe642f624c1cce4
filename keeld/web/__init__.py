"""HTTP API, metrics and status page. Reads what a `Source` gives; changes nothing except through the unix socket."""

from keeld.web.server import Server
from keeld.web.source import Queue, Source

__all__ = ["Queue", "Server", "Source"]
