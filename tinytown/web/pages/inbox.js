// What has been written to the person, each with a form for an answer.
// A message that is shown stays the same element, so that nobody loses what is being typed.

import { make } from "./text.js";

const KINDS = [["task", "to act on"], ["info", "for information"], ["query", "as a question"]];

function newKey() {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(16)).join("-");
}

export class Inbox {
  // `send(body, key)` sends a message, and gives what went wrong as a text, or nothing.
  constructor(list, send) {
    this.list = list;
    this.send = send;
    this.shown = new Map();
  }

  show(messages) {
    const there = new Set(messages.map((message) => message.id));
    for (const [id, item] of this.shown) {
      const isWrittenTo = item.querySelector("textarea").value.trim() !== "";
      if (there.has(id) || isWrittenTo) continue;
      item.remove();
      this.shown.delete(id);
    }
    for (const message of messages) {
      if (this.shown.has(message.id)) continue;
      const item = this.item(message);
      this.shown.set(message.id, item);
      this.list.prepend(item);
    }
  }

  clear() {
    this.shown.clear();
    this.list.replaceChildren();
  }

  item(message) {
    const item = make("li");
    const head = make("p");
    const urgent = message.priority === "urgent" ? ", urgent" : "";
    head.append(make("span", message.from_name || message.from, "name"));
    head.append(make("span", `${message.kind || message.type}${urgent} · ${message.created_at}`, "faint"));
    item.append(head, make("p", message.text || "", "said"), this.form(message));
    return item;
  }

  form(message) {
    const form = make("form");
    const name = message.from_name || message.from;
    const text = make("textarea");
    text.required = true;
    text.setAttribute("aria-label", `Answer to ${name}`);
    const kind = make("select");
    kind.setAttribute("aria-label", "What the answer is");
    for (const [value, label] of KINDS) {
      const option = make("option", label);
      option.value = value;
      kind.append(option);
    }
    const button = make("button", "Answer");
    const row = make("div", "", "row");
    const grow = make("div", "", "grow");
    grow.append(kind);
    row.append(grow, button);
    const state = make("p");
    state.setAttribute("role", "status");
    form.append(text, row, state);
    let draft = { said: "", key: "" };
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const body = { to: message.from, message: text.value, kind: kind.value };
      const said = JSON.stringify(body);
      // The same answer has the same key: sent again after a lost connection, it arrives once.
      if (draft.said !== said) draft = { said, key: newKey() };
      button.disabled = true;
      const trouble = await this.send(body, draft.key);
      button.disabled = false;
      state.className = trouble ? "bad" : "good";
      state.textContent = trouble || `Sent to ${name}.`;
      if (trouble) return;
      draft = { said: "", key: "" };
      text.value = "";
    });
    return form;
  }
}
