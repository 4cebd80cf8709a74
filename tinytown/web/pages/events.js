// What happened, the newest first.

import { PERSON } from "./api.js";
import { KeyedList, ago, around, make } from "./text.js";

const MOST = 40;
const PHRASES = { "message.sent": "message to" };
const GOOD = /\.(completed|finished|answered|approved)$/;
const BAD = /^dead_letter|\.(failed|error|rejected|undecided)$/;
const WARN = /\.(paused|killed|cut|cancelled|sent_back)$/;

function toneOf(type) {
  return GOOD.test(type) ? "good" : BAD.test(type) ? "bad" : WARN.test(type) ? "warn" : "";
}

// Ids in a detail become names, where they have any.
function readable(text, names) {
  return text.replace(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, (id) => names[id] || id.slice(0, 8));
}

export class Events {
  constructor(list) {
    this.names = {};
    this.items = new KeyedList(list, { key: (event) => event.id, make: (event) => this.item(event) });
  }

  // `names` are those of agents, by id.
  show(events, names) {
    this.names = { ...names, [PERSON]: "you" };
    this.items.show(events.slice(-MOST).reverse());
  }

  clear() {
    this.items.clear();
  }

  item(event) {
    const phrase = PHRASES[event.type] || event.type.replace(/[._]/g, " ");
    const what = make("span", phrase, `what ${toneOf(event.type)}`);
    const name = this.names[event.agent] ? make("strong", this.names[event.agent]) : null;
    const head = around("p", "head", what, name, ago(event.at));
    const detail = event.detail ? make("p", readable(event.detail, this.names), "clamp faint") : null;
    return around("li", toneOf(event.type), head, detail);
  }
}
