// One rack: what binds it, what would happen if something above it died, what lies ahead, and what it has been.
import { alertsOf, showCommands } from "./alerts.js";
import { byId, make, match, rows, say, sentences, show, verdictClass } from "./build.js";
import * as words from "./words.js";

const LONG_MS = 15000;
let slow = { id: "", at: 0 };

/** Give a rack's document; null where there is none of that name any more. */
export async function askRack(id, ask) {
  const answer = await ask(`api/v1/racks/${encodeURIComponent(id)}`);
  return answer.status === 404 ? null : answer.json();
}

/** Headroom and the states it went through: they change slowly, and cost more. */
export async function askSlowly(id, ask) {
  if (slow.id === id && Date.now() - slow.at < LONG_MS) return slow;
  const name = encodeURIComponent(id);
  const [headroom, states] = await Promise.all([ask(`api/v1/headroom?rack=${name}`), ask(`api/v1/racks/${name}/states`)]);
  const found = { id, at: Date.now(), headroom: null, states: null };
  if (headroom.ok) found.headroom = (await headroom.json()).racks[0] ?? null;
  if (states.ok) found.states = (await states.json()).states;
  slow = found;
  return found;
}

export function showRack(rack, site, { headroom, states }) {
  const zone = site.timezone;
  say(byId("rack-title"), `${rack.label}: ${rack.judgements.length ? rack.verdict : "no budget"}${rack.why ? ` (${rack.why})` : ""}`);
  say(byId("rack-facts"), factsOf(rack).join(" · "));
  sentences(byId("rack-alerts"), byId("rack-alerts"), alertsOf(site.alerts, rack), (alert) => alert.key,
    (alert) => `${alert.severity}${alert.standing === "open" ? "" : `, ${alert.standing}`}: ${alert.title} (${alert.alert_id})`);
  showBudgets(rack);
  showAbove(rack, site.nodes);
  showHeadroom(headroom);
  rows(byId("failover"), rack.failover, (item) => `${item.target.kind} ${item.target.id}`, failoverCells);
  byId("failover").hidden = rack.failover.length === 0;
  show(byId("no-failover"), rack.failover.length ? "" : "Nothing would take anything over: it has one feed, or none with a rating.");
  sentences(byId("rack-forecasts"), byId("rack-forecasts"),
    site.forecasts.filter(({ target }) => target.kind === "rack" && target.id === rack.id), (item) => item.constraint, forecastWords);
  showStates(rack, states, zone);
  rows(byId("devices"), rack.devices, (device) => device.id, deviceCells);
}

function factsOf(rack) {
  const feeds = Object.entries(rack.feeds_watts).map(([feed, draw]) =>
    `feed ${feed}${rack.feeds[feed] ? ` (${rack.feeds[feed]})` : ""} ${words.interval(draw, "W")}`);
  return [
    `${rack.kind} ${rack.id}, ${rack.state}, ${rack.redundancy}`, rack.tenant ? `tenant ${rack.tenant}` : "",
    `draws ${words.interval(rack.draw_watts, "W")}`, ...feeds,
    rack.draw_watts.provenance ? `measured by ${rack.draw_watts.provenance}` : "",
  ].filter(Boolean);
}

const verdictCell = (judgement) =>
  [judgement.why ? `${judgement.verdict}: ${judgement.why}` : judgement.verdict, `state-${verdictClass(judgement.verdict)}`];

/** At least, likely, at most: each as a quantity with its share of the limit. */
function boundCells({ value, limit, unit }) {
  const cell = (number) => (number === null ? "unknown" : `${words.quantity(number, unit)}, ${words.percent(number / limit)}`);
  return [cell(value.lo), cell(value.best), value.hi === null ? "no known bound" : cell(value.hi)];
}

function showBudgets(rack) {
  const name = ({ constraint }) => constraint + (rack.binding?.constraint === constraint ? ", binds" : "");
  rows(byId("budgets"), rack.judgements, (judgement) => judgement.constraint, (judgement) => [
    [name(judgement), rack.binding?.constraint === judgement.constraint ? "strong" : ""], verdictCell(judgement),
    ...boundCells(judgement), words.limit(judgement), words.headroom(judgement),
  ]);
  byId("budgets").hidden = rack.judgements.length === 0;
}

/** The limits of the node that each feed hangs on. */
function showAbove(rack, nodes) {
  const items = Object.entries(rack.feeds).flatMap(([feed, id]) =>
    (nodes.find((node) => node.kind === "power_node" && node.id === id)?.judgements ?? [])
      .map((judgement) => ({ feed, id, judgement })));
  byId("circuits").hidden = items.length === 0;
  rows(byId("circuits"), items, ({ feed, judgement }) => `${feed} ${judgement.constraint}`, ({ feed, id, judgement }) => [
    `${feed}, ${id}: ${words.constraint(judgement.constraint)}`, verdictCell(judgement), ...boundCells(judgement),
    words.limit(judgement), words.headroom(judgement),
  ]);
}

function showHeadroom(headroom) {
  const rooms = headroom?.rooms ?? [];
  show(byId("usable"), headroom ? usableWords(headroom) : "");
  byId("rooms").hidden = rooms.length === 0;
  rows(byId("rooms"), rooms.slice(0, 5), (room) => `${room.constraint} ${room.target}`,
    (room) => [words.left(room.watts), `${words.constraint(room.constraint)} of ${room.target}`, room.base]);
}

function usableWords({ usable_watts: usable, usable_at_peak_watts: peak, binding, lost }) {
  if (usable === null) return "Usable headroom: no limit is configured.";
  const binds = binding ? `; ${words.constraint(binding.constraint)} of ${binding.target} binds` : "";
  const peaks = peak === null ? "" : `; at 24-h peaks ${words.left(peak)}`;
  const without = lost.length ? `. No data from ${lost.join(", ")}: taken at its most` : "";
  return `Usable headroom: ${words.left(usable)} at 5-min means${peaks}${binds}${without}.`;
}

function failoverCells({ label, survival, text, day_peak_ratio: peak }) {
  return [label, [survival ?? "none", `state-${verdictClass(survival)}`],
    peak === null ? "not known" : `${words.percent(peak)} of continuous limit`, text];
}

function forecastWords(item) {
  return `${words.constraint(item.constraint)} at ${words.percent(item.load_ratio)}: over its limit in ${words.ahead(item.likely_s)}`
    + ` (${words.ahead(item.earliest_s)} to ${words.ahead(item.latest_s)})`;
}

function showStates(rack, states, zone) {
  say(byId("rack-state"), `${rack.state}${states?.length ? "" : ", as configured"}`);
  showCommands(byId("rack-commands"), rack.commands);
  match(byId("states"), states ?? [], (move) => `${move.time} ${move.to}`, () => make("li"), (node, move) =>
    say(node, `${words.moment(move.time, zone)}: ${move.from} to ${move.to}, ${move.owner}: ${move.reason}`));
}

function deviceCells(device) {
  const last = device.readings_age_s === null ? "never" : `${words.age(device.readings_age_s)} ago`;
  const detail = device.outage_detail ? `, ${device.outage_detail}` : "";
  const state = device.is_out === null ? "not yet polled" : device.is_out ? [`OUT: ${device.outage_reason}${detail}`, "out"] : "answers";
  return [device.label, device.kind, device.feed ?? "", last, state];
}
