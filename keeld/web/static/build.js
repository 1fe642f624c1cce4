// Building blocks: elements that keep their place, their focus and what is open in them over a refresh.

export const byId = (id) => document.getElementById(id);
export const natural = new Intl.Collator("en", { numeric: true }).compare;
export const verdictClass = (verdict) =>
  ({ "OVER": "over", "WILL TRIP": "over", "CAN'T TELL": "cant_tell", "OK": "ok", "SURVIVABLE": "doubt" })[verdict] ?? "";
const made = new WeakMap();

export function make(tag, className = "", ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

/** Text only: nothing from outside is ever markup. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function show(node, text) {
  node.hidden = !text;
  say(node, text);
}

/** Keep one child of `parent` for each item, in order. */
export function match(parent, items, keyOf, create, update) {
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

/** Figures as [name, value, note, class]. */
export function figures(parent, pairs) {
  match(parent, pairs, ([name]) => name,
    () => make("div", "", make("dt"), make("dd"), make("dd", "note")),
    (node, [name, value, note, className]) => {
      node.className = className ?? "";
      say(node.children[0], name);
      say(node.children[1], value);
      show(node.children[2], note ?? "");
    });
}

/** A table's rows; a cell is a text, or [text, class]. On a narrow screen each cell shows its column's name itself. */
export function rows(table, items, keyOf, cellsOf) {
  const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  match(table.tBodies[0], items, keyOf, () => make("tr"), (row, item) => {
    match(row, cellsOf(item).map((cell, place) => [place, cell]), ([place]) => place, ([place]) => {
      const cell = make("td");
      cell.dataset.name = names[place] ?? "";
      return cell;
    }, (node, [, cell]) => {
      const [text, className] = Array.isArray(cell) ? cell : [cell, ""];
      node.className = text ? className : "empty";
      say(node, text);
    });
  });
}

/** A list of sentences; its section is hidden while there are none. */
export function sentences(section, list, items, keyOf, textOf, classOf = () => "") {
  section.hidden = items.length === 0;
  match(list, items, keyOf, () => make("li"), (node, item) => {
    node.className = classOf(item);
    say(node, textOf(item));
  });
}
