// The rack wall, and the bar of one budget: the range that the measurements allow, the best value, the limit.
import { byId, make, match, natural, say, show, verdictClass } from "./build.js";
import * as words from "./words.js";

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

function makeTile(rack, choose) {
  const tile = make("button", "tile",
    make("span", "head", make("span", "name"), make("span", "verdict")),
    makeBar(), make("span", "line"), make("span", "line"), make("span", "line soft"), make("span", "line warned"));
  tile.type = "button";
  tile.setAttribute("aria-controls", "rack");
  tile.addEventListener("click", () => choose(rack.id));
  return make("li", "", tile);
}

function updateTile(item, rack, chosen) {
  const tile = item.firstChild;
  const [head, bar, first, second, third, last] = tile.children;
  const binding = rack.binding ?? rack.judgements[0] ?? null;
  const [name, word] = head.children;
  tile.className = `tile ${verdictClass(rack.verdict)}${rack.is_structural ? " hatched" : ""}`;
  tile.setAttribute("aria-expanded", String(rack.id === chosen));
  say(name, rack.label);
  say(word, rack.judgements.length ? rack.verdict : "no budget");
  word.className = `verdict ${rack.judgements.length ? verdictClass(rack.verdict) : ""}`;
  bar.toggleAttribute("hidden", !binding);
  if (binding) drawBar(bar, binding);
  show(first, binding ? words.load(binding) : words.interval(rack.draw_watts, "W"));
  show(second, binding ? `${binding.constraint} binds, headroom ${words.headroom(binding)}${words.usable(rack.usable_headroom_watts, binding.headroom)}` : "");
  show(third, [
    rack.label.includes(rack.id) ? "" : rack.id,
    rack.why || (rack.is_structural ? "never measured" : ""),
    binding ? `now ${words.interval(rack.draw_watts, "W")}` : "",
    words.trust(rack.draw_watts),
    rack.state === "ai" ? "" : rack.state,
  ].filter(Boolean).join(" · "));
  show(last, rack.failover_text);
}

export function showWall(racks, chosen, choose) {
  const byRow = new Map();
  for (const rack of racks) byRow.set(rack.row ?? "", [...(byRow.get(rack.row ?? "") ?? []), rack]);
  const names = [...byRow.keys()].sort(natural);
  match(byId("wall"), names, (name) => name,
    () => make("div", "", make("h3"), make("ul", "row")),
    (node, name) => {
      show(node.children[0], name ? `Row ${name}` : names.length > 1 ? "No row" : "");
      const tiles = byRow.get(name).sort((one, other) => natural(one.id, other.id));
      match(node.children[1], tiles, (rack) => rack.id, (rack) => makeTile(rack, choose),
        (item, rack) => updateTile(item, rack, chosen));
    });
}
