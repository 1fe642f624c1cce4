// The status page: asks for one document every 2 s and shows it. Everything from outside goes in as text.
import * as words from "./words.js";

const EVERY_MS = 2000;
const GIVE_UP_MS = 5000;
const STALE_S = 10;

const byId = (id) => document.getElementById(id);
const made = new WeakMap();
let shown = null;
let shownAt = 0;
let trouble = "";
let selected = "";

// Building blocks

function make(tag, className = "", ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function show(node, text) {
  node.hidden = !text;
  say(node, text);
}

/** Keep one child of `parent` for each item, in order, so that focus and open details survive a refresh. */
function match(parent, items, keyOf, create, update) {
  const known = made.get(parent) ?? new Map();
  made.set(parent, known);
  const keys = new Set(items.map(keyOf));
  for (const [key, node] of known) {
    if (!keys.has(key)) { node.remove(); known.delete(key); }
  }
  items.forEach((item, place) => {
    const key = keyOf(item);
    if (!known.has(key)) known.set(key, create(item));
    const node = known.get(key);
    if (parent.children[place] !== node) parent.insertBefore(node, parent.children[place] ?? null);
    update(node, item);
  });
}

function figures(parent, pairs) {
  match(parent, pairs, ([name]) => name,
    () => make("div", "", make("dt"), make("dd"), make("div", "note")),
    (node, [name, value, note]) => {
      say(node.children[0], name);
      say(node.children[1], value);
      show(node.children[2], note ?? "");
    });
}

function rows(table, items, keyOf, cellsOf) {
  match(table.tBodies[0], items, keyOf, () => make("tr"), (row, item) => {
    match(row, cellsOf(item).map((cell, place) => [place, cell]), ([place]) => place, () => make("td"),
      (node, [, cell]) => {
        const [text, className] = Array.isArray(cell) ? cell : [cell, ""];
        node.className = className;
        say(node, text);
      });
  });
}

const natural = new Intl.Collator("en", { numeric: true }).compare;
const wordClass = (verdict) => ({ "OVER": "over", "CAN'T TELL": "cant_tell", "OK": "ok" })[verdict] ?? "";

// A bar of one budget: the range that the measurements allow, the best value, the limit

const SVG = "http://www.w3.org/2000/svg";

function makeBar() {
  const bar = document.createElementNS(SVG, "svg");
  bar.setAttribute("class", "bar");
  bar.setAttribute("viewBox", "0 0 130 8");
  bar.setAttribute("preserveAspectRatio", "none");
  bar.setAttribute("aria-hidden", "true");
  for (const name of ["ground", "range", "best", "limit"]) {
    const piece = document.createElementNS(SVG, "rect");
    piece.setAttribute("class", name);
    bar.append(piece);
  }
  return bar;
}

function drawBar(bar, judgement) {
  const [ground, range, best, limit] = bar.children;
  const scale = (value) => Math.min(130, Math.max(0, (100 * value) / judgement.limit));
  const place = (piece, x, width, y, height) => {
    for (const [name, value] of Object.entries({ x, width, y, height })) piece.setAttribute(name, value.toFixed(2));
  };
  const { lo, best: likely, hi } = judgement.value;
  place(ground, 0, 100, 3, 2);
  place(range, scale(lo), Math.max(0.5, (hi === null ? 130 : scale(hi)) - scale(lo)), 1, 6);
  best.setAttribute("visibility", likely === null ? "hidden" : "visible");
  place(best, scale(likely ?? 0) - 0.8, 1.6, 0, 8);
  place(limit, 99.5, 1, 0, 8);
}

// Rack wall

function makeTile(rack) {
  const tile = make("button", "tile",
    make("span", "head", make("span", "name"), make("span", "verdict")),
    makeBar(), make("span", "line"), make("span", "line"), make("span", "line soft"));
  tile.type = "button";
  tile.setAttribute("aria-controls", "rack");
  tile.addEventListener("click", () => select(selected === rack.id ? "" : rack.id));
  return make("li", "", tile);
}

function updateTile(item, rack) {
  const tile = item.firstChild;
  const [head, bar, first, second, third] = tile.children;
  const binding = rack.binding ?? rack.judgements[0] ?? null;
  const [name, word] = head.children;
  tile.className = `tile ${wordClass(rack.verdict)}${rack.is_structural ? " hatched" : ""}`;
  tile.setAttribute("aria-expanded", String(rack.id === selected));
  say(name, rack.label);
  say(word, rack.judgements.length ? rack.verdict : "no budget");
  word.className = `verdict ${rack.judgements.length ? wordClass(rack.verdict) : ""}`;
  bar.toggleAttribute("hidden", !binding);
  if (binding) drawBar(bar, binding);
  show(first, binding ? words.load(binding) : words.interval(rack.draw_watts, "W"));
  show(second, binding ? `${binding.constraint} binds, headroom ${words.headroom(binding)}` : "");
  show(third, [
    rack.label.includes(rack.id) ? "" : rack.id,
    rack.why || (rack.is_structural ? "never measured" : ""),
    binding ? `now ${words.interval(rack.draw_watts, "W")}` : "",
    words.trust(rack.draw_watts),
    rack.state === "ai" ? "" : rack.state,
  ].filter(Boolean).join(" · "));
}

function showWall(racks) {
  const byRow = Map.groupBy ? Map.groupBy(racks, (rack) => rack.row ?? "") : groupByRow(racks);
  const names = [...byRow.keys()].sort(natural);
  match(byId("wall"), names, (name) => name,
    () => make("div", "", make("h3"), make("ul", "row")),
    (node, name) => {
      show(node.children[0], name ? `Row ${name}` : names.length > 1 ? "No row" : "");
      const tiles = byRow.get(name).sort((one, other) => natural(one.id, other.id));
      match(node.children[1], tiles, (rack) => rack.id, makeTile, updateTile);
    });
}

function groupByRow(racks) {
  const groups = new Map();
  for (const rack of racks) groups.set(rack.row ?? "", [...(groups.get(rack.row ?? "") ?? []), rack]);
  return groups;
}

// Alerts

const URGENCY = { critical: 0, warning: 1, info: 2 };
const STATES = { firing: "", pending: "not yet", clearing: "ending" };

function showAlerts(alerts, zone) {
  const sorted = [...alerts].sort((one, other) =>
    URGENCY[one.severity] - URGENCY[other.severity] || String(one.since).localeCompare(String(other.since)));
  match(byId("alerts"), sorted, (alert) => alert.key,
    () => make("li", "", make("details", "", make("summary", "",
      make("span", "word"), make("span", "title"), make("span", "soft")), make("pre"))),
    (node, alert) => {
      node.className = `alert ${alert.severity}`;
      const [summary, text] = node.firstChild.children;
      say(summary.children[0], [alert.severity, STATES[alert.state] ?? alert.state].filter(Boolean).join(", "));
      say(summary.children[1], (alert.title || `${alert.rule} ${alert.target.id}`) + words.marks(alert));
      say(summary.children[2], ` since ${words.moment(alert.since, zone)}, id ${alert.alert_id}`);
      say(text, [alert.text, alert.cause && !alert.text.includes(alert.cause) ? `Cause: ${alert.cause}` : "",
        `In hand? Type: keeld ack ${alert.alert_id}`].filter(Boolean).join("\n"));
    });
  byId("no-alerts").hidden = alerts.length > 0;
}

// Nodes and balance

function judgementCells(judgement) {
  return [
    [judgement.why ? `${judgement.verdict}: ${judgement.why}` : judgement.verdict, `state-${wordClass(judgement.verdict)}`],
    words.interval(judgement.value, judgement.unit),
    words.load(judgement),
    words.headroom(judgement),
  ];
}

function tightest(judgements) {
  const rank = (judgement) => judgement.load_ratio ?? -1;
  return judgements.reduce((one, other) => (one && rank(one) >= rank(other) ? one : other), null);
}

function showNodes(nodes) {
  byId("nodes-section").hidden = nodes.length === 0;
  rows(byId("nodes"), nodes, (node) => `${node.kind} ${node.id}`, (node) => {
    const judgement = tightest(node.judgements);
    if (!judgement) return [node.label, "no limit", "", words.interval(node.draw_watts, "W"), "", ""];
    const [verdict, now, of, left] = judgementCells(judgement);
    return [node.label, verdict, judgement.constraint, now, of, left];
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

function showSummary(site) {
  const tally = (verdict) => site.racks.filter((rack) => rack.judgements.length && rack.verdict === verdict).length;
  figures(byId("summary"), [
    ["Racks OVER", words.count(tally("OVER"))],
    ["Racks CAN'T TELL", words.count(tally("CAN'T TELL"))],
    ["Racks OK", words.count(tally("OK"))],
    ["Site draws", words.interval(site.draw_watts, "W"), words.trust(site.draw_watts)],
    ["Alerts", words.count(site.alerts.length)],
  ]);
}

// One rack

async function showRack() {
  const section = byId("rack");
  if (!selected) { section.hidden = true; return; }
  const wanted = selected;
  const answer = await ask(`api/v1/racks/${encodeURIComponent(wanted)}`);
  if (wanted !== selected) return;
  if (answer.status === 404) { select(""); return; }
  const rack = await answer.json();
  const feeds = Object.entries(rack.feeds_watts).map(([feed, draw]) => `feed ${feed} ${words.interval(draw, "W")}`);
  say(byId("rack-title"), `${rack.label}: ${rack.verdict}${rack.why ? ` (${rack.why})` : ""}`);
  say(byId("rack-facts"), [
    `${rack.kind} ${rack.id}, ${rack.state}`, `draws ${words.interval(rack.draw_watts, "W")}`, ...feeds,
    rack.draw_watts.provenance ? `measured by ${rack.draw_watts.provenance}` : "",
  ].filter(Boolean).join(" · "));
  rows(byId("budgets"), rack.judgements, (judgement) => judgement.constraint,
    (judgement) => [judgement.constraint, ...judgementCells(judgement)]);
  rows(byId("failover"), rack.failover, (item) => `${item.target.kind} ${item.target.id}`, failoverCells);
  rows(byId("devices"), rack.devices, (device) => device.id, deviceCells);
  section.hidden = false;
}

function failoverCells({ label, survival, text }) {
  return [label, [survival ?? "none", `state-${survival === "WILL TRIP" ? "over" : wordClass(survival)}`], text];
}

function deviceCells(device) {
  const last = device.readings_age_s === null ? "never" : `${words.age(device.readings_age_s)} ago`;
  const detail = device.outage_detail ? `, ${device.outage_detail}` : "";
  const state = device.is_out === null ? "not yet polled" : device.is_out ? [`OUT: ${device.outage_reason}${detail}`, "out"] : "answers";
  return [device.label, device.kind, device.feed ?? "", last, state];
}

function select(id) {
  selected = id;
  history.replaceState(null, "", id ? `#rack=${encodeURIComponent(id)}` : location.pathname);
  if (shown) showWall(shown.racks);
  showRack().then(() => { if (id) byId("rack").scrollIntoView({ block: "nearest" }); }, note);
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

async function ask(path) {
  try {
    return await fetch(path, { signal: AbortSignal.timeout(GIVE_UP_MS) });
  } catch (error) {
    throw new NoAnswer(error.name === "TimeoutError" ? "it is silent" : "it cannot be reached");
  }
}

function note(error) {
  if (error instanceof NoAnswer) {
    trouble = `keeld does not answer: ${error.message}.`;
  } else {
    trouble = `This page failed: ${error.message}.`;
    console.error(error);
  }
}

function showFindings(findings) {
  byId("findings-section").hidden = findings.length === 0;
  match(byId("findings"), findings, (sentence) => sentence, () => make("li"), say);
}

function showSite(site) {
  document.title = `${site.alerts.some((alert) => alert.severity === "critical") ? "! " : ""}keeld ${site.site}`;
  say(byId("site"), site.site);
  show(byId("note"), site.timings_note);
  show(byId("not-ready"), site.not_ready.length ? `Not ready: ${site.not_ready.join("; ")}` : "");
  showSummary(site);
  showAlerts(site.alerts, site.timezone);
  showWall(site.racks);
  showNodes(site.nodes);
  showFindings(site.findings);
  showBalance(site.balance);
}

async function refresh() {
  try {
    const answer = await ask("api/v1/site");
    if (!answer.ok) throw new NoAnswer(`it answers ${answer.status}`);
    const site = await answer.json();
    const received = Date.now();
    showSite(site);
    shown = site;
    shownAt = received;  // only now: what could not be shown must not make the old look fresh
    trouble = "";
    await showRack();
  } catch (error) {
    note(error);
  }
  showAge();
  setTimeout(refresh, EVERY_MS);
}

byId("rack-close").addEventListener("click", close);
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && selected) close(); });

function close() {
  const tile = document.querySelector('.tile[aria-expanded="true"]');
  select("");
  tile?.focus();
}

selected = new URLSearchParams(location.hash.slice(1)).get("rack") ?? "";
setInterval(showAge, 1000);
refresh();
