// What lies ahead: what breaks next, how the site stands to its supplier, announced work, and what is not believed.
import { byId, figures, rows, sentences, show } from "./build.js";
import * as words from "./words.js";

const COMPLIANCE = { ahead: "to come", ramp: "on the way down", complied: "kept", over: "OVER", ended: "ended" };

function showForecasts(site) {
  byId("forecasts-section").hidden = site.forecasts.length === 0;
  rows(byId("forecasts"), site.forecasts, (item) => `${item.target.kind} ${item.target.id} ${item.constraint}`,
    (item) => [
      `${item.label || item.target.id}, ${words.constraint(item.constraint)}`, words.percent(item.load_ratio),
      words.ahead(item.likely_s), `${words.ahead(item.earliest_s)} to ${words.ahead(item.latest_s)}`,
    ]);
  const more = site.forecasts_total - site.forecasts.length;
  show(byId("forecasts-more"), more > 0 ? `and ${more} more` : "");
}

function demandFigures(demand) {
  const name = demand.name === "cap" ? "Cap" : "Tariff target";
  const span = `${Math.round(demand.interval_s / 60)}-min ${demand.is_rolling ? "rolling demand" : "block"}`;
  const limit = words.power(demand.limit_watts);
  const projected = demand.projected_watts;
  const share = projected?.best == null ? "" : ` = ${words.percent(projected.best / demand.limit_watts)} of ${limit}`;
  const found = [[`${name} ${limit}, ${span}`, projected ? `${words.powers(projected)}${share}` : "not known yet",
    projected ? "this interval comes to at the present load" : ""]];
  if (demand.allowed_watts !== null) found.push([`${name}: for the rest`, allowedWords(demand), shedWords(demand)]);
  if (demand.last_watts) found.push([`${name}: last interval`, words.powers(demand.last_watts), words.trust(demand.last_watts)]);
  if (demand.peak_watts) found.push([`${name}: peak this month`, words.powers(demand.peak_watts), words.trust(demand.peak_watts)]);
  return found;
}

function allowedWords(demand) {
  return demand.allowed_watts < 0 ? "nothing: the limit is lost" : `${words.power(demand.allowed_watts)} allowed`;
}

function shedWords(demand) {
  const left = `${words.age(demand.left_s)} left`;
  return demand.shed_watts > 0 ? `shed ${words.power(demand.shed_watts)}, ${left}` : left;
}

function effectiveness(known) {
  const ratio = (name) => (known[name] === undefined ? "not known" : known[name].toFixed(2));
  const power = known["pue_power_ratio"];
  if (!Object.keys(known).some((name) => name.startsWith("pue_"))) return [];
  return [["PUE, last hour", ratio("pue_ratio/hour"), power === undefined ? "" : `site over machines now ${power.toFixed(2)}, which is no PUE`],
    ["PUE, last 24 h", ratio("pue_ratio/day"), ""]];
}

function showSupply(site) {
  const pairs = [...site.demands.flatMap(demandFigures), ...effectiveness(site.figures)];
  byId("supply-section").hidden = pairs.length + site.orders.length === 0;
  figures(byId("supply"), pairs);
  const zone = site.timezone;
  byId("orders").hidden = site.orders.length === 0;
  rows(byId("orders"), site.orders, (order) => order.id, (order) => [
    [COMPLIANCE[order.compliance] ?? order.compliance.toUpperCase(), order.compliance === "over" ? "state-over"
      : order.compliance === "can't tell" ? "state-cant_tell" : ""],
    order.target.kind === "site" ? "the site" : `${order.target.kind} ${order.target.id}`,
    `${words.power(order.most_watts)} at most`, words.powers(order.draw_watts),
    order.allowed_watts === null ? "" : words.power(order.allowed_watts),
    `met by ${words.moment(order.met_by, zone)}, until ${words.moment(order.ends, zone)}`,
    [order.source, order.note].filter(Boolean).join(": "),
  ]);
}

function holdWords(hold, zone) {
  const when = hold.is_now ? `now, until ${words.moment(hold.ends, zone)}`
    : `${words.moment(hold.begins, zone)} to ${words.moment(hold.ends, zone)}`;
  const again = hold.every_days ? `, every ${hold.every_days} days` : "";
  const quiet = hold.alerts.length ? `; ${hold.alerts.length} quiet` : "";
  return `${hold.about}: ${when}${again}${quiet}. ${hold.owner}: ${hold.reason} (${hold.id})`;
}

function showHolds(site) {
  const zone = site.timezone;
  sentences(byId("work-section"), byId("work"), site.maintenance, (hold) => hold.id, (hold) => holdWords(hold, zone));
  sentences(byId("shelves-section"), byId("shelves"), site.shelves, (hold) => hold.id, (hold) => holdWords(hold, zone));
}

function suspectWords(item, zone) {
  const name = item.part ? `${item.metric}/${item.part}` : item.metric;
  const since = item.is_active ? `since ${words.moment(item.since, zone)}` : "believed again";
  return `${item.device} ${name}: ${item.reason} (${item.check}, ${since})`;
}

function showSuspects(site) {
  sentences(byId("suspects-section"), byId("suspects"), site.suspects,
    (item) => `${item.device} ${item.metric} ${item.part} ${item.check}`, (item) => suspectWords(item, site.timezone));
  const more = site.suspects_total - site.suspects.length;
  show(byId("suspects-more"), more > 0 ? `and ${more} more` : "");
}

export function showOutlook(site) {
  showForecasts(site);
  showSupply(site);
  showHolds(site);
  showSuspects(site);
}
