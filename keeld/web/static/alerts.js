// Alerts: those that wait for somebody first, then those that nobody was told of, each group with its reason.
import { byId, make, match, say, show } from "./build.js";
import * as words from "./words.js";

const URGENCY = { critical: 0, warning: 1, info: 2 };
const STATES = { firing: "", pending: "not yet", clearing: "ending" };
const GROUPS = [
  ["follows", "follow from another alert, which speaks for them"],
  ["observed", "only observed: would have paged"],
  ["shelved", "shelved"],
  ["maintenance", "quiet for announced work"],
  ["flood", "told of in the digest of a flood"],
  ["pending", "not yet: the delay has not run out"],
];

/** The alert that a message's link asks for: opened once, when it first shows. */
const linked = () => new URLSearchParams(location.hash.slice(1)).get("alert") ?? "";
let asked = linked();
addEventListener("hashchange", () => { asked = linked(); });

const byUrgency = (one, other) =>
  URGENCY[one.severity] - URGENCY[other.severity] || (one.state === "clearing") - (other.state === "clearing")
    || String(one.since).localeCompare(String(other.since));

function makeAlert() {
  const facts = make("dl", "facts");
  const what = make("div", "commands");
  const link = make("a");
  return make("li", "", make("details", "",
    make("summary", "", make("span", "word"), make("span", "title"), make("span", "soft"), make("span", "marks")),
    make("pre"), facts, link, what));
}

function updateAlert(node, alert, titles, zone) {
  node.className = `alert ${alert.severity}`;
  const [summary, text, facts, link, what] = node.firstChild.children;
  const [word, title, since, marks] = summary.children;
  say(word, [alert.severity, STATES[alert.state] ?? alert.state].filter(Boolean).join(", "));
  say(title, alert.title || `${alert.rule} ${alert.target.kind} ${alert.target.id}`);
  say(since, ` since ${words.moment(alert.since, zone)}, id ${alert.alert_id}`);
  show(marks, marksOf(alert, zone).join(" · "));
  say(text, alert.text);
  match(facts, factsOf(alert, titles, zone), ([name]) => name, () => make("div", "", make("dt"), make("dd")),
    (fact, [name, value]) => { say(fact.children[0], name); say(fact.children[1], value); });
  const rack = rackOf(alert.target);
  show(link, rack && `Open rack ${rack}`);
  link.href = `#rack=${encodeURIComponent(rack)}`;
  showCommands(what, alert.commands);
  if (asked && alert.alert_id === asked) {
    asked = "";
    node.firstChild.open = true;
    node.closest(".group")?.toggleAttribute("open", true);
    node.scrollIntoView({ block: "nearest" });
  }
}

function rackOf({ kind, id }) {
  return kind === "rack" ? id : kind === "feed" ? id.slice(0, id.lastIndexOf("/")) : "";
}

/** What to type: this page only reads. */
export function showCommands(parent, commands) {
  match(parent, commands, (each) => each.command, () => make("p", "", make("span", "soft"), make("code")),
    (line, { does, command }) => { say(line.children[0], `To ${does}, type `); say(line.children[1], command); });
}

/** What one must know before opening it: in hand, first, how much hangs on it. */
function marksOf(alert, zone) {
  return [
    alert.owner ? `in hand: ${alert.owner}` : "",
    alert.is_first_out && alert.standing === "open" ? "first of those that stand" : "",
    alert.children_total ? `${alert.children_total} follow from it` : "",
    alert.is_latched ? "stays until it is closed" : "",
    alert.chatters ? "comes and goes" : "",
    alert.quiet && alert.quiet_until ? `until ${words.moment(alert.quiet_until, zone)}` : "",
  ].filter(Boolean);
}

function factsOf(alert, titles, zone) {
  const more = alert.children_total - alert.children.length;
  const children = alert.children.join("; ") + (more > 0 ? `; and ${more} more` : "");
  const holder = titles.get(alert.held_by);
  return [
    ["Explained by", alert.held_by ? holder ?? alert.held_by : ""],
    ["Cause", alert.cause !== alert.held_by && !alert.text.includes(alert.cause) ? alert.cause : ""],
    [`${alert.children_total} follow from it`, alert.children_total ? children : ""],
    ["In hand", alert.owner],
    ["Quiet", quietWords(alert, zone)],
  ].filter(([, value]) => value);
}

function quietWords(alert, zone) {
  const until = alert.quiet_until ? ` until ${words.moment(alert.quiet_until, zone)}` : "";
  return {
    observed: `only observed${until}: it would have paged, and was not sent`,
    shelved: `shelved${until}`,
    maintenance: `announced work${until}`,
    flood: "told of in the digest of a flood",
  }[alert.quiet] ?? "";
}

function showList(list, alerts, titles, zone) {
  match(list, [...alerts].sort(byUrgency), (alert) => alert.key, makeAlert,
    (node, alert) => updateAlert(node, alert, titles, zone));
}

export function showAlerts(alerts, zone) {
  const titles = new Map(alerts.map((alert) => [alert.key, `${alert.title} (${alert.alert_id})`]));
  const open = alerts.filter((alert) => alert.standing === "open");
  showList(byId("alerts"), open, titles, zone);
  byId("no-alerts").hidden = open.length > 0;
  show(byId("no-socket"), open.length && open.every((alert) => alert.commands.length === 0)
    ? "To acknowledge or shelve them, keeld needs a socket: write http: {socket: /run/keeld/api.sock} and restart it." : "");
  const groups = GROUPS.map(([name, reason]) => [name, reason, alerts.filter((alert) => alert.standing === name)]);
  match(byId("unsent"), groups.filter(([, , found]) => found.length), ([name]) => name,
    () => make("details", "group", make("summary"), make("ol", "alerts")),
    (node, [, reason, found]) => {
      say(node.children[0], `${found.length} ${reason}`);
      showList(node.children[1], found, titles, zone);
    });
}

/** The alerts about one rack, its feeds and its devices. */
export function alertsOf(alerts, rack) {
  const devices = new Set(rack.devices.map((device) => device.id));
  const isHere = ({ kind, id }) => (kind === "rack" && id === rack.id) || (kind === "feed" && id.startsWith(`${rack.id}/`))
    || (kind === "device" && devices.has(id));
  return alerts.filter((alert) => isHere(alert.target)).sort(byUrgency);
}
