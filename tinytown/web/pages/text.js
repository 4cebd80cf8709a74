// Elements with text. What agents write is hostile: it is put in as text, and never read as markup.

export function make(tag, text = "", kind = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

// An element around others; what is nothing is left out.
export function around(tag, kind, ...parts) {
  const element = make(tag, "", kind);
  element.append(...parts.filter((part) => part !== null && part !== ""));
  return element;
}

// What a program printed, without the sequences by which terminals are coloured and moved about in.
export function plain(text) {
  // eslint-disable-next-line no-control-regex
  return text.replace(/\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])/g, "").replace(/\r+\n/g, "\n");
}

const STEPS = [[86400, "d"], [3600, "h"], [60, "min"]];

// How long ago that was. An element with it says so by itself from then on; see `tick`.
export function ago(stamp) {
  const element = make("time");
  element.dateTime = stamp;
  element.title = new Date(stamp).toLocaleString();
  tell(element);
  return element;
}

function tell(element) {
  const seconds = Math.max(0, (Date.now() - Date.parse(element.dateTime)) / 1000);
  const [size, unit] = STEPS.find(([each]) => seconds >= each) || [0, ""];
  const text = size ? `${Math.floor(seconds / size)} ${unit} ago` : "just now";
  if (element.textContent !== text) element.textContent = text;
}

// Brings every `ago` of the page up to date.
export function tick() {
  for (const element of document.querySelectorAll("time[datetime]")) tell(element);
}

// A list whose elements stay the same ones from one reading to the next, so that nobody loses the place, the focus or
// what is being typed. `make(item)` makes an element, `update(element, item)` brings it up to date.
export class KeyedList {
  constructor(list, { key, make: create, update = () => {} }) {
    Object.assign(this, { list, key, create, update });
    this.shown = new Map();
  }

  // `keeps(element)`: it stays although its item has gone.
  show(items, keeps = () => false) {
    const there = new Set(items.map(this.key));
    for (const [key, element] of this.shown) {
      if (there.has(key) || keeps(element)) continue;
      element.remove();
      this.shown.delete(key);
    }
    let before = null;
    for (const item of items) {
      const key = this.key(item);
      const element = this.shown.get(key) || this.create(item);
      this.shown.set(key, element);
      this.update(element, item);
      const place = before ? before.nextElementSibling : this.list.firstElementChild;
      // Moving an element takes the focus from it, so only what stands elsewhere is moved.
      if (place !== element) this.list.insertBefore(element, place);
      before = element;
    }
  }

  clear() {
    this.shown.clear();
    this.list.replaceChildren();
  }
}
