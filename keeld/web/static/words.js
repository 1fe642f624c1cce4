// Numbers and times in words. Null is never a number: what was not measured says so.

const SCALES = { W: [1000, "kW"], VA: [1000, "kVA"], A: [1, "A"] };

export function quantity(value, unit) {
  if (value === null || value === undefined) return "unknown";
  const [divisor, word] = SCALES[unit] ?? [1, unit];
  return `${trim(value / divisor)} ${word}`;
}

function trim(number) {
  const digits = Math.abs(number) >= 1000 ? 0 : Math.abs(number) >= 100 ? 0 : 1;
  return number.toFixed(digits).replace("-", "−");
}

export function percent(ratio) {
  return ratio === null || ratio === undefined ? "unknown" : `${Math.round(ratio * 100)} %`;
}

/** "33.9 kW", with its bounds where they lie more than 2 % apart, or what is known when nothing was measured. */
export function interval(value, unit) {
  if (!value) return "unknown";
  const low = quantity(value.lo, unit);
  const high = value.hi === null ? "no known bound" : quantity(value.hi, unit);
  if (value.best === null) return `${value.coverage_ratio > 0 ? "" : "not measured: "}${low} to ${high}`;
  const isWide = value.hi === null || value.hi - value.lo > 0.02 * Math.max(Math.abs(value.hi), 1);
  return isWide ? `${quantity(value.best, unit)} (${low} to ${high})` : quantity(value.best, unit);
}

/** What is left below the limit when everything unknown is at its highest. */
export function headroom(judgement) {
  const left = judgement.headroom;
  if (left === null) return "unknown";
  return left < 0 ? `none, up to ${quantity(-left, judgement.unit)} over` : quantity(left, judgement.unit);
}

/** The percentage never goes without what it is a percentage of: "73 % of 30.0 kW budget", "49 % of 57.0 A (60 A breaker …)". */
export function load(judgement) {
  const share = judgement.load_ratio === null ? "unknown share" : percent(judgement.load_ratio);
  return `${share} of ${limit(judgement)}`;
}

export function limit({ base, limit: value, unit }) {
  const figure = quantity(value, unit);
  if (!/\d/.test(base)) return `${figure} ${base}`.trim();
  return base.includes(figure.replace(".0 ", " ")) && !/[x×]/.test(base) ? base : `${figure} (${base})`;
}

/** Room that may be negative: "3.2 kW", "none, 1.4 kW too much". */
export function left(watts) {
  if (watts === null || watts === undefined) return "unknown";
  return watts < 0 ? `none, ${power(-watts)} too much` : power(watts);
}

/** What may be added once feeds, failover and cooling are considered, where that is less than a budget leaves. */
export function usable(watts, budgeted) {
  return watts === null || watts === undefined || watts > budgeted - 50 ? "" : `, usable ${left(watts)}`;
}

/** A power as people say it: "9.10 MW", "350 kW". */
export function power(watts) {
  if (watts === null || watts === undefined) return "unknown";
  return Math.abs(watts) >= 1e6 ? `${(watts / 1e6).toFixed(2)} MW` : quantity(watts, "W");
}

/** As `interval`, in MW where that is how people say it. */
export function powers(value) {
  if (!value) return "unknown";
  const high = value.hi === null ? "no known bound" : power(value.hi);
  if (value.best === null) return `${value.coverage_ratio === 0 ? "not measured: " : ""}${power(value.lo)} to ${high}`;
  const isWide = value.hi === null || value.hi - value.lo > 0.02 * Math.max(value.hi, 1);
  return isWide ? `${power(value.best)} (${power(value.lo)} to ${high})` : power(value.best);
}

const CONSTRAINTS = { air: "air heat", liquid: "liquid heat", apparent_power: "apparent power" };

/** "current/L2" is "current L2", as people say it. */
export function constraint(name) {
  return CONSTRAINTS[name] ?? name.replace("/", " ");
}

/** A time from now: "in" is for the caller to say. */
export function ahead(seconds) {
  if (seconds === null || seconds === undefined) return "never";
  if (seconds < 60) return "less than a minute";
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

export function trust(value) {
  if (!value || value.quality === "unknown") return "";
  const words = [];
  if (value.quality !== "good") words.push(value.quality);
  if (value.coverage_ratio < 0.995) words.push(`${Math.floor(value.coverage_ratio * 100)} % measured`);
  return words.join(", ");
}

export function age(seconds) {
  if (seconds === null || seconds === undefined) return "never";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
}

export function count(number) {
  return number === null || number === undefined ? "unknown" : number.toLocaleString("en").replaceAll(",", " ");
}

export function bytes(number) {
  if (number < 1e3) return `${number} B`;
  if (number < 1e6) return `${(number / 1e3).toFixed(0)} kB`;
  return number < 1e9 ? `${(number / 1e6).toFixed(1)} MB` : `${(number / 1e9).toFixed(1)} GB`;
}

/** A time of day in the site's zone, with the date where it is not today. */
export function moment(text, zone) {
  if (!text) return "unknown";
  const then = new Date(text);
  const date = { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit" };
  const clock = { timeZone: zone, hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZoneName: "shortOffset" };
  const day = (value) => value.toLocaleDateString("en-CA", date);
  const time = then.toLocaleTimeString("en-GB", clock);
  return day(then) === day(new Date()) ? time : `${day(then)} ${time}`;
}

/** " [acknowledged by eve, 3 follow from it]": who has an alarm, why it is not sent, what follows from it. */
export function marks(alert) {
  const said = [
    alert.owner && `acknowledged by ${alert.owner}`,
    alert.quiet && `not sent: ${alert.quiet}`,
    alert.children_total > 0 && `${alert.children_total} follow from it`,
  ].filter(Boolean);
  return said.length > 0 ? ` [${said.join(", ")}]` : "";
}
