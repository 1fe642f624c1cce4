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

const UNMEASURED = ": part of it was not measured and may be as much as the supply allows";

/** One box: what the running interval comes to against its limit, and all that one may do about it. */
function demandFigure(demand) {
  const name = demand.name === "cap" ? "Cap" : "Tariff target";
  const span = `${Math.round(demand.interval_s / 60)}-min ${demand.is_rolling ? "rolling demand" : "block"}`;
  const { projected_watts: projected, last_watts: last, peak_watts: peak } = demand;
  const mean = (value) => words.powers(value) + (value.is_estimated ? ", partly estimated" : "");
  const note = [
    projected ? `is what this interval comes to at the present load${projected.is_estimated ? UNMEASURED : ""}` : "",
    demand.left_s === null ? "" : `${words.age(demand.left_s)} left${projected?.is_estimated ? "" : remedy(demand)}`,
    last ? `last interval ${mean(last)}` : "", peak ? `peak of this month ${mean(peak)}` : "",
  ];
  return [`${name} ${words.power(demand.limit_watts)}, ${span}`, projected ? against(projected, demand.limit_watts) : "not known yet",
    note.filter(Boolean).join("; "), projected && projected.lo > demand.limit_watts ? "state-over" : ""];
}

function against(mean, limit) {
  const share = mean.best === null ? "" : `${words.percent(mean.best / limit)}: `;
  const word = mean.lo > limit ? "OVER, " : mean.hi > limit ? "CAN'T TELL, " : "";
  return `${word}${share}${words.powers(mean)}`;
}

function remedy({ allowed_watts: allowed, shed_watts: shed }) {
  if (allowed === null) return "";
  if (allowed < 0) return ", its limit is lost already";
  return `, ${words.power(allowed)} allowed for the rest${shed > 0 ? `: shed ${words.power(shed)}` : ""}`;
}

function effectiveness(known) {
  const hour = known["pue_ratio/hour"], day = known["pue_ratio/day"], power = known["pue_power_ratio"];
  if (hour === undefined && day === undefined && power === undefined) return [];
  const note = [
    day === undefined ? "no whole day yet" : `last 24 h ${day.toFixed(2)}`,
    power === undefined ? "" : `site over machines at this moment ${power.toFixed(2)}, which is no PUE`,
  ];
  return [["PUE, last hour", hour === undefined ? "not known yet" : hour.toFixed(2), note.filter(Boolean).join("; "), ""]];
}

function orderWords(order, zone) {
  const who = order.target.kind === "site" ? "the site" : `${order.target.kind} ${order.target.id}`;
  const word = COMPLIANCE[order.compliance] ?? order.compliance.toUpperCase();
  const allowed = order.allowed_watts === null ? "" : `, ${words.power(order.allowed_watts)} allowed now`;
  return `${word}: ${who} draws ${words.powers(order.draw_watts)}${allowed}. ${order.source} ordered ${words.power(order.most_watts)} at most`
    + ` from ${words.moment(order.met_by, zone)} to ${words.moment(order.ends, zone)}${order.note ? `. ${order.note}` : ""} (${order.id})`;
}

function showSupply(site) {
  const pairs = [...site.demands.map(demandFigure), ...effectiveness(site.figures)];
  byId("supply-section").hidden = pairs.length + site.orders.length === 0;
  figures(byId("supply"), pairs);
  sentences(byId("orders"), byId("orders"), site.orders, (order) => order.id, (order) => orderWords(order, site.timezone),
    (order) => ({ over: "state-over", "can't tell": "state-cant_tell" })[order.compliance] ?? "");
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

/** Show all of it; says whether there is anything. */
export function showOutlook(site) {
  showForecasts(site);
  showSupply(site);
  showHolds(site);
  showSuspects(site);
  const aside = byId("outlook");
  aside.hidden = [...aside.children].every((section) => section.hidden);
  return !aside.hidden;
}
