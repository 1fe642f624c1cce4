"""Where messages point people to: keeld's page, a dashboard, the runbook of a rule. None of them holds a secret."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

RUNBOOKS = "docs/runbooks.md"
"""Where the runbooks are that ship: named as they lie beside the program, for whoever has no page for them."""
_NS_IN_MS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageUrls:
    """Addresses as the configuration gives them; empty where there is none."""

    page: str = ""
    """keeld's own page, as people reach it."""
    dashboard: str = ""
    """With {site}, {kind}, {target}, {rule} and {since_ms} in the place of what the message is about."""
    runbooks: str = ""
    """A page with a heading for each rule, or a folder of pages, which ends in a slash."""

    def page_of(self, alert_id: str, rack: str = "") -> str:
        """Give the address at which the page shows an alarm, beside its rack; empty without a page."""
        if not self.page:
            return ""
        at_rack = f"rack={quote(rack, safe='')}&" if rack else ""
        page = self.page.partition("#")[0]
        slash = "" if "/" in page.partition("://")[2] else "/"
        return f"{page}{slash}#{at_rack}alert={quote(alert_id, safe='')}"

    def dashboard_of(self, *, site: str, kind: str, target: str, rule: str, since_ns: int) -> str:
        """Give the dashboard's address with its braces filled in; empty without one."""
        filled = {"site": site, "kind": kind, "target": target, "rule": rule, "since_ms": str(since_ns // _NS_IN_MS)}
        found = self.dashboard
        for name, text in filled.items():
            found = found.replace(f"{{{name}}}", quote(text, safe=""))
        return found

    def runbook_of(self, rule: str) -> str:
        """Give where the section of a rule is: on the site's own pages, else in the documents that ship."""
        whole = self.runbooks or RUNBOOKS
        return f"{whole}{rule}" if whole.endswith(("/", "#", "=")) else f"{whole}#{rule}"
