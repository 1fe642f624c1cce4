// The status page: asks for one document every 2 s and shows it. Everything from outside goes in as text.
import { showAlerts, showCommands } from "./alerts.js";
import { byId, figures, rows, say, sentences, show, verdictClass } from "./build.js";
import { showOutlook } from "./outlook.js";
import { askRack, askSlowly, showRack } from "./rack.js";
import { showWall } from "./wall.js";
import * as words from "./words.js";

const EVERY_MS = 2000;
const GIVE_UP_MS = 5000;
const STALE_S = 10;

let shown = null;
let shownAt = 0;
let trouble = "";
let selected = "";

// The site

function showSummary(site) {
  const tally = (verdict) => site.racks.filter((rack) => rack.judgements.length && rack.verdict === verdict).length;
  const total = site.alerts_total;
  const unsent = [["observed", "would have paged"], ["shelved", "shelved"], ["maintenance", "quiet for work"],
    ["follows", "follow"], ["flood", "in a digest"], ["pending", "not yet"]]
    .filter(([name]) => total[name]).map(([name, word]) => `${total[name]} ${word}`);
  figures(byId("summary"), [
    ["Racks OVER", words.count(tally("OVER"))],
    ["Racks CAN'T TELL", words.count(tally("CAN'T TELL"))],
    ["Racks OK", words.count(tally("OK"))],
    ["Site draws", words.interval(site.draw_watts, "W"), words.trust(site.draw_watts)],
    ["Alerts", words.count(total.open), unsent.join(", ")],
  ]);
}

function tightest(judgements) {
  const rank = (judgement) => judgement.load_ratio ?? -1;
  return judgements.reduce((one, other) => (one && rank(one) >= rank(other) ? one : other), null);
}

function showNodes(nodes) {
  byId("nodes-section").hidden = nodes.length === 0;
  rows(byId("nodes"), nodes, (node) => `${node.kind} ${node.id}`, (node) => {
    const judgement = tightest(node.judgements);
    if (!judgement) return [node.label, "not judged", "", words.interval(node.draw_watts, "W"), "", ""];
    const verdict = judgement.why ? `${judgement.verdict}: ${judgement.why}` : judgement.verdict;
    return [node.label, [verdict, `state-${verdictClass(judgement.verdict)}`], words.constraint(judgement.constraint),
      words.interval(judgement.value, judgement.unit), words.load(judgement), words.headroom(judgement)];
  });
}

function showBalance(balance) {
  const stored = Object.entries(balance.points_stored);
  const lost = balance.points_evicted + balance.points_dead + balance.batches_dropped;
  figures(byId("balance"), [
    ["Running for", words.age(balance.uptime_s)],
    ["Polls", words.count(balance.polls), `${words.count(balance.outages)} without readings`],
    ["Readings", words.count(balance.readings), `${words.count(balance.devices)} devices`],
    ["Points safe on disk", words.count(balance.points_acknowledged), `${words.count(balance.points_in_history)} in local history`],
    ...stored.map(([sink, points]) => [`Stored in ${sink}`, words.count(points)]),
    ["Queued", words.count(balance.spool_points), balance.spool_files
      ? `${words.bytes(balance.spool_bytes)}, oldest ${words.age(balance.spool_oldest_s)}` : "nothing waits"],
    ["Dropped or refused", words.count(lost), lost ? `${words.count(balance.points_evicted)} evicted, ${words.count(balance.points_dead)} refused, ${words.count(balance.batches_dropped)} batches` : ""],
    ["Messages sent", words.count(balance.messages_sent), `${words.count(balance.messages_waiting)} waiting, ${words.count(balance.messages_dead)} given up`],
  ]);
}

function showSite(site) {
  const urgent = site.alerts.some((alert) => alert.standing === "open" && alert.severity === "critical");
  document.title = `${urgent ? "! " : ""}keeld ${site.site}`;
  say(byId("site"), site.site);
  show(byId("note"), site.timings_note);
  byId("observed").hidden = !site.observed_until;
  say(byId("observed-words"), site.observed_until
    ? `Only observed until ${words.moment(site.observed_until, site.timezone)}: alerts are judged and shown, and only what cannot wait is sent.` : "");
  showCommands(byId("observed-commands"), site.commands);
  show(byId("not-ready"), site.not_ready.length ? `Not ready: ${site.not_ready.join("; ")}` : "");
  showSummary(site);
  showAlerts(site.alerts, site.timezone);
  document.querySelector("main").classList.toggle("has-outlook", showOutlook(site));
  showWall(site.racks, selected, choose);
  showNodes(site.nodes);
  sentences(byId("findings-section"), byId("findings"), site.findings, (sentence) => sentence, (sentence) => sentence);
  showBalance(site.balance);
}

// One rack

async function showSelected() {
  if (!selected) { byId("rack").hidden = true; return; }
  const wanted = selected;
  const [rack, slowly] = await Promise.all([askRack(wanted, ask), askSlowly(wanted, ask)]);
  if (wanted !== selected || !shown) return;
  if (!rack) { select(""); return; }
  showRack(rack, shown, slowly);
  byId("rack").hidden = false;
}

function choose(id) {
  select(selected === id ? "" : id);
}

function select(id) {
  selected = id;
  history.replaceState(null, "", id ? `#rack=${encodeURIComponent(id)}` : location.pathname);
  if (shown) showWall(shown.racks, selected, choose);
  showSelected().then(() => { if (id) byId("rack").scrollIntoView({ block: "nearest" }); }, note);
}

function close() {
  const tile = document.querySelector('.tile[aria-expanded="true"]');
  select("");
  tile?.focus();
}

// Staleness: the page knows how old what it shows is, whoever has stopped

function showAge() {
  if (!shown) {
    show(byId("stale"), trouble ? `NOTHING TO SHOW: ${trouble}` : "");
    return;
  }
  const seconds = shown.age_s + (Date.now() - shownAt) / 1000;
  const isStale = seconds > STALE_S;
  document.body.classList.toggle("is-stale", isStale);
  show(byId("stale"), isStale
    ? `STALE: what you see is ${words.age(seconds)} old (${words.moment(shown.time, shown.timezone)}). ${trouble || "keeld answers, but no longer judges."}`
    : "");
  say(byId("freshness"), `${isStale ? "stale" : "live"}, ${words.moment(shown.time, shown.timezone)}, ${words.age(seconds)} old`);
}

class NoAnswer extends Error {}

/** Give an answer that is one: also one of 404, as a rack may go while it is looked at. */
async function ask(path) {
  let answer;
  try {
    answer = await fetch(path, { signal: AbortSignal.timeout(GIVE_UP_MS) });
  } catch (error) {
    throw new NoAnswer(error.name === "TimeoutError" ? "it is silent" : "it cannot be reached");
  }
  if (!answer.ok && answer.status !== 404) throw new NoAnswer(`it answers ${answer.status}`);
  return answer;
}

function note(error) {
  if (error instanceof NoAnswer) {
    trouble = `keeld does not answer: ${error.message}.`;
  } else {
    trouble = `This page failed: ${error.message}.`;
    console.error(error);
  }
}

async function refresh() {
  try {
    const site = await (await ask("api/v1/site")).json();
    const received = Date.now();
    showSite(site);
    shown = site;
    shownAt = received;  // only now: what could not be shown must not make the old look fresh
    trouble = "";
    await showSelected();
  } catch (error) {
    note(error);
  }
  showAge();
  setTimeout(refresh, EVERY_MS);
}

byId("rack-close").addEventListener("click", close);
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && selected) close(); });
const linked = () => new URLSearchParams(location.hash.slice(1)).get("rack") ?? "";
addEventListener("hashchange", () => { if (linked() !== selected) select(linked()); });
selected = linked();
setInterval(showAge, 1000);
refresh();
