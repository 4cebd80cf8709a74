// The missions that are not over, each as a graph of its work items from left to right in the order of what they wait
// for, and beneath it, as text, what every item that is not done waits for.

import { KeyedList, around, make } from "./text.js";

const SVG = "http://www.w3.org/2000/svg";
const BOX = { width: 176, height: 46, across: 44, down: 14 };
const LETTERS = 24; // Of a title in its box; the whole of it is in the text beneath.
const MOST = 120; // Items that are drawn; nobody reads more boxes.
const TONES = { running: "good", assigned: "busy", blocked: "warn", done: "good", completed: "good", failed: "bad" };

export function open(items) {
  return items.filter((item) => item.state !== "done");
}

// What is drawn: the items, and as boxes of their own what they wait for outside of the mission.
export function boxes(items) {
  const shown = items.length > MOST ? open(items).slice(0, MOST) : items;
  const drawn = shown.map(({ id, key, state, label, title, agent_name: who, why, depends_on: on = [] }) => (
    { key: key || id, state, label: label || title, title, who, why, on }
  ));
  const known = new Set(items.map((item) => item.key));
  const outside = new Set(drawn.flatMap(({ on }) => on).filter((key) => !known.has(key)));
  return [...drawn, ...[...outside].map((key) => (
    { key, state: "outside", label: key, title: "outside of the mission", who: "", why: "", on: [] }
  ))];
}

// The boxes in columns: each stands one to the right of the last of those it waits for. There is no cycle.
export function columns(found) {
  const byKey = new Map(found.map((box) => [box.key, box]));
  const place = new Map();
  const column = (box) => {
    if (!place.has(box.key)) {
      place.set(box.key, 0); // Should there be a cycle after all, it ends here.
      const before = box.on.map((key) => byKey.get(key)).filter(Boolean).map(column);
      place.set(box.key, before.length ? Math.max(...before) + 1 : 0);
    }
    return place.get(box.key);
  };
  const made = [];
  for (const box of found) (made[column(box)] ||= []).push(box);
  // What waits for something stands near it.
  const rows = new Map();
  for (const boxesHere of made) {
    const wish = ({ on }, at) => {
      const there = on.map((key) => rows.get(key)).filter((row) => row !== undefined);
      return there.length ? there.reduce((sum, row) => sum + row, 0) / there.length : at;
    };
    const wishes = new Map(boxesHere.map((box, at) => [box, wish(box, at)]));
    boxesHere.sort((one, other) => wishes.get(one) - wishes.get(other));
    boxesHere.forEach((box, row) => rows.set(box.key, row));
  }
  return made;
}

function shape(tag, attributes, ...parts) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...parts);
  return element;
}

function text(kind, x, y, words) {
  const element = shape("text", { class: kind, x, y });
  element.textContent = words;
  return element;
}

function short(words) {
  return words.length > LETTERS ? `${words.slice(0, LETTERS - 1).trimEnd()}…` : words;
}

function told({ label, title, state, who, why }) {
  const whose = who ? `, ${who}` : "";
  return `${label}: ${title}, ${state}${whose}${why ? `: ${why}` : ""}`;
}

function drawBox(box, x, y) {
  const name = shape("title", {});
  name.textContent = told(box);
  return shape(
    "g", { class: "box", "data-state": box.state, transform: `translate(${x} ${y})` }, name,
    shape("rect", { width: BOX.width, height: BOX.height, rx: 8 }),
    text("label", 10, 19, short(box.label)),
    text("title", 10, 36, short(box.who ? `${box.state} · ${box.who}` : box.state)),
  );
}

function draw(found) {
  const made = columns(found);
  const rows = Math.max(1, ...made.map((column) => column.length));
  const width = made.length * (BOX.width + BOX.across) - BOX.across;
  const height = rows * (BOX.height + BOX.down) - BOX.down;
  const at = new Map();
  made.forEach((column, left) => {
    const free = (rows - column.length) * (BOX.height + BOX.down) / 2;
    column.forEach((box, row) => {
      at.set(box.key, [left * (BOX.width + BOX.across), free + row * (BOX.height + BOX.down)]);
    });
  });
  const lines = found.flatMap((box) => box.on.filter((key) => at.has(key)).map((key) => {
    const [fromX, fromY] = at.get(key);
    const [toX, toY] = at.get(box.key);
    const [startX, startY, endY] = [fromX + BOX.width, fromY + BOX.height / 2, toY + BOX.height / 2];
    const bend = (startX + toX) / 2;
    return shape("path", { class: "line", d: `M${startX} ${startY}C${bend} ${startY} ${bend} ${endY} ${toX} ${endY}` });
  }));
  const picture = shape("svg", { viewBox: `-2 -2 ${width + 4} ${height + 4}`, width: width + 4, height: height + 4 });
  picture.append(...lines, ...found.map((box) => drawBox(box, ...at.get(box.key))));
  // The list beneath says the same, in words.
  picture.setAttribute("aria-hidden", "true");
  return picture;
}

function line({ state, title, label, agent_name: who, why }) {
  const head = around(
    "p", "head", make("strong", label || title), make("span", state, `pill ${TONES[state] || ""}`),
    who ? make("span", who, "faint") : "",
  );
  const parts = [head];
  if (label) parts.push(make("p", title, "faint"));
  if (why) parts.push(make("p", `It ${why}.`));
  return around("li", "", ...parts);
}

function fill(element, view) {
  const { id, state, items } = view;
  const done = items.length - open(items).length;
  const title = make("h3", `Mission ${id.slice(0, 8)}`);
  title.id = `mission-${id}`;
  const head = around(
    "div", "head", title, make("span", state, `pill ${TONES[state] || ""}`),
    make("span", `${done} of ${items.length} done`, "faint"),
  );
  const frame = around("div", "scroll graph", draw(boxes(items)));
  frame.tabIndex = 0;
  frame.setAttribute("role", "group");
  frame.setAttribute("aria-labelledby", title.id);
  // Reading again must not take the place or the focus from who looks at it.
  const old = element.querySelector(".graph");
  const [left, focused, isOpen] = [old?.scrollLeft || 0, old === document.activeElement, element.querySelector("details")?.open];
  const list = make("ul", "", "waits");
  list.append(...open(items).slice(0, MOST).map(line));
  const more = around("details", "", make("summary", `What ${items.length - done} open items wait for`), list);
  more.open = isOpen ?? items.length - done <= 6;
  element.replaceChildren(head, frame, ...(items.length > done ? [more] : []));
  frame.scrollLeft = left;
  if (focused) frame.focus({ preventScroll: true });
}

export class Missions {
  constructor(list) {
    this.items = new KeyedList(list, {
      key: ({ id }) => id, make: () => make("li", "", "mission"), update: (element, view) => {
        // Most readings change nothing: then nothing is drawn.
        const now = JSON.stringify([view.state, view.items]);
        if (element.shown !== now) fill(element, view);
        element.shown = now;
      },
    });
  }

  show(views) {
    this.items.show(views);
  }

  clear() {
    this.items.clear();
  }
}
