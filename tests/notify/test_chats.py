"""Slack, Teams and ntfy show what the message says, whatever stands in it, and give nothing away."""

from __future__ import annotations

import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from keeld.credentials import Secret
from keeld.errors import DeliveryError
from keeld.model import AlertState, Notice, Severity, Transition
from keeld.notify import alertmanager, ntfy, open_channel, pagerduty, slack, teams, words
from keeld.settings import ChannelSettings
from keeld.state import Outgoing

FACTS = """Where: R08 <old & cold> *C-14* (rack r08), site dal1
Value: 33.9 of 30 kW budget = 113 %
Likely cause: 4 nodes moved to full load
Runbook: https://wiki.site/rack?a=1&b=2"""


@pytest.fixture
async def chat(receiver):
    opened = []

    def make(kind: str, **changed):
        url = changed.pop("url", receiver.url)
        opened.append(open_channel(ChannelSettings(kind=kind, name="chat", url=Secret(url), **changed), "dal1"))
        return opened[-1]

    yield make
    for it in opened:
        await it.close()


async def test_slack_has_the_headline_as_text_and_the_facts_as_plain_blocks(receiver, chat, message):
    await chat("slack").send(message(title="<!channel> r08 & co"))
    assert orjson.loads(receiver.received[0].body) == {
        "text": "[CRITICAL] &lt;!channel&gt; r08 &amp; co",
        "blocks": [
            {
                "type": "header",
                "text": {"type": "plain_text", "text": "[CRITICAL] <!channel> r08 & co", "emoji": False},
            },
            {
                "type": "section",
                "text": {"type": "plain_text", "text": message().transition.text, "emoji": False},
            },
            {
                "type": "section",
                "text": {"type": "mrkdwn", "text": "<https://wiki.site/rack?a=1&amp;b=2|Runbook>"},
            },
        ],
        "unfurl_links": False,
    }


async def test_teams_gets_a_card_of_plain_runs(receiver, chat, message):
    await chat("teams").send(message())
    body = orjson.loads(receiver.received[0].body)
    card = body["attachments"][0]["content"]
    runs = [block["inlines"][0] for block in card["body"]]
    assert body["attachments"][0]["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
    assert runs[0] == {
        "type": "TextRun",
        "text": "[CRITICAL] [CRIT] dal1 r08 power 33.9 kW of 30.0 kW limit (113%)",
        "size": "large",
        "weight": "bolder",
        "color": "attention",
    }
    assert [run["text"] for run in runs[1:]] == FACTS.splitlines()
    assert card["actions"] == [{"type": "Action.OpenUrl", "title": "Runbook", "url": "https://wiki.site/rack?a=1&b=2"}]


async def test_ntfy_publishes_json_on_its_topic(receiver, chat, message):
    await chat("ntfy", options={"topic": "noc"}, secrets={"token": Secret("tk_1")}).send(message())
    headers, body = receiver.received[0]
    assert headers["Authorization"] == "Bearer tk_1"
    assert orjson.loads(body) == {
        "topic": "noc",
        "title": "[CRITICAL] [CRIT] dal1 r08 power 33.9 kW of 30.0 kW limit (113%)",
        "message": FACTS,
        "priority": 5,
        "tags": ["rotating_light", "dal1", "rack_density_power"],
        "click": "https://wiki.site/rack?a=1&b=2",
        "actions": [{"action": "view", "label": "Runbook", "url": "https://wiki.site/rack?a=1&b=2"}],
    }


@pytest.mark.parametrize(
    ("notice", "ended", "expected"),
    [
        (Notice.TRIGGER, "", ("CRITICAL", "attention", 5, "rotating_light")),
        (Notice.ESCALATE, "", ("CRITICAL", "attention", 5, "rotating_light")),
        (Notice.RESOLVE, "resolved", ("RESOLVED", "good", 3, "white_check_mark")),
        (Notice.RESOLVE, "", ("RESOLVED", "good", 3, "white_check_mark")),
        (Notice.RESOLVE, "unverifiable", ("UNVERIFIABLE", "attention", 3, "grey_question")),
        (Notice.RESOLVE, "withdrawn", ("WITHDRAWN", "attention", 3, "grey_question")),
    ],
)
def test_only_a_proven_end_looks_like_one(message, notice, ended, expected):
    outgoing = message(notice, ended=ended)
    card = teams.payload(outgoing)["attachments"][0]["content"]
    pushed = ntfy.payload(outgoing, "dal1")
    assert (
        words.word(outgoing),
        card["body"][0]["inlines"][0]["color"],
        pushed["priority"],
        pushed["tags"][0],
    ) == expected


@pytest.mark.parametrize("kind", ["slack", "teams", "ntfy"])
async def test_what_a_receiver_repeats_is_shown_without_its_secrets(receiver, chat, message, kind):
    async def echo(request):
        return web.Response(status=403, text=f"no {request.path} {(await request.read()).decode()}")

    receiver.always = echo
    with pytest.raises(DeliveryError) as raised:
        await chat(kind, secrets={"topic": Secret("hidden-topic")}).send(message())
    assert raised.value.permanent is False
    assert "k3y" not in raised.value.detail
    assert "hidden-topic" not in raised.value.detail
    assert raised.value.detail.startswith("http://127.0.0.1: 403 no ***")


@pytest.mark.parametrize("kind", ["slack", "teams", "ntfy"])
async def test_limits_redirects_and_refusals(receiver, chat, message, kind):
    it = chat(kind, options={"topic": "noc"})
    receiver.answers = [(429, {"Retry-After": "12"}), (307, {"Location": receiver.url}), 400, 200]
    with pytest.raises(DeliveryError) as limited:
        await it.send(message())
    with pytest.raises(DeliveryError, match="redirects are refused"):
        await it.send(message())
    with pytest.raises(DeliveryError) as refused:
        await it.send(message())
    await it.send(message())
    assert (limited.value.retry_after_s, limited.value.permanent) == (12.0, False)
    assert refused.value.permanent
    assert len(receiver.received) == 4


async def test_a_topic_is_needed(chat, message):
    with pytest.raises(DeliveryError, match="no topic"):
        await chat("ntfy").send(message())


@pytest.mark.parametrize(
    "line",
    ["Runbook: rack-over-power", "Runbook: javascript:alert(1)", "Runbook: https://h/<x>|y", "runbook https://h", ""],
)
def test_a_runbook_that_is_no_address_is_no_link(message, line):
    assert words.links(message(text=f"first\n{line}").transition) == {}


POINTED = """OVER: r07
Runbook: https://elsewhere.example/not-a-pointer
Do: this
Runbook: https://wiki.site/leak
Page: https://keeld.site/#alert=a
Dashboard: https://graf.site/d/x"""


def test_what_the_last_lines_point_to_becomes_links(message):
    told = message(text=POINTED)
    urls = ["https://wiki.site/leak", "https://keeld.site/#alert=a", "https://graf.site/d/x"]
    assert list(words.links(told.transition).values()) == urls
    shown = slack.payload(told)["blocks"][-1]["text"]["text"]
    assert shown == " · ".join(f"<{url}|{name}>" for name, url in words.links(told.transition).items())
    card = teams.payload(told)["attachments"][0]["content"]
    assert [action["url"] for action in card["actions"]] == urls
    note = ntfy.payload(told, "dal1")
    assert (note["click"], [action["url"] for action in note["actions"]]) == (urls[1], urls)
    event = pagerduty.event(told, "dal1")
    assert (event["client_url"], [link["href"] for link in event["links"]]) == (urls[1], urls)
    alert = alertmanager.firing(told.transition, "dal1", told.transition.time_ns)
    assert (alert["generatorURL"], alert["annotations"]["dashboard_url"]) == (urls[1], urls[2])


@given(st.text(max_size=500), st.text(max_size=30000), st.sampled_from(Severity))
def test_any_text_fits_every_receiver(title, text, severity):
    move = Transition(
        key="k",
        alert_id="a",
        rule="leak",
        target_kind="rack",
        target_id="r1",
        before=AlertState.PENDING,
        after=AlertState.FIRING,
        severity=severity,
        title=title,
        text=text,
    )
    outgoing = Outgoing("id", "chat", Notice.TRIGGER, 1, move)
    said = slack.payload(outgoing)
    assert 0 < len(said["blocks"][0]["text"]["text"]) <= 150
    assert 0 < len(said["blocks"][1]["text"]["text"]) <= 3000
    assert not {"<", ">"} & set(said["text"])
    assert len(orjson.dumps(teams.payload(outgoing))) < 28 << 10
    assert len(ntfy.payload(outgoing, "s")["message"].encode()) <= 4096


@pytest.mark.parametrize("letter", ["x", "é", "𝄞", "x\x00", '"', "é\n"])
def test_long_texts_of_any_letter_are_cut_and_say_so(message, letter):
    outgoing = message(title="", text=letter * 30000)
    assert "\x00" not in words.facts(outgoing, 4000)
    assert len(orjson.dumps(teams.payload(outgoing))) < 28 << 10
    assert ntfy.payload(outgoing, "s")["message"].endswith("…")
    assert slack.payload(outgoing)["blocks"][1]["text"]["text"].endswith("…")
