"""What messages point to."""

from __future__ import annotations

from keeld.message_urls import MessageUrls

URLS = MessageUrls(
    page="https://keeld.site/at/#top",
    dashboard="https://graf.site/d/{kind}?var-target={target}&site={site}&rule={rule}&from={since_ms}",
)


def test_the_page_opens_at_the_alert_and_its_rack():
    assert URLS.page_of("abc", "r 07&x") == "https://keeld.site/at/#rack=r%2007%26x&alert=abc"
    assert URLS.page_of("abc") == "https://keeld.site/at/#alert=abc"
    assert MessageUrls().page_of("abc", "r07") == ""


def test_a_dashboard_is_filled_in_and_nothing_in_a_name_becomes_part_of_the_address():
    found = URLS.dashboard_of(site="dal 1", kind="feed", target="r07/{rule}&a=b", rule="leak", since_ns=1_500_000_000)
    assert found == ("https://graf.site/d/feed?var-target=r07%2F%7Brule%7D%26a%3Db&site=dal%201&rule=leak&from=1500")
    assert not MessageUrls().dashboard_of(site="s", kind="k", target="t", rule="r", since_ns=0)


def test_a_runbook_is_a_heading_of_a_page_or_a_page_of_a_folder():
    assert MessageUrls().runbook_of("leak") == "docs/runbooks.md#leak"
    assert MessageUrls(runbooks="https://w.site/keeld").runbook_of("leak") == "https://w.site/keeld#leak"
    assert MessageUrls(runbooks="https://w.site/keeld/").runbook_of("leak") == "https://w.site/keeld/leak"
