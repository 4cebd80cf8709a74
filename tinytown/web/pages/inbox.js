// What has been written to the person, each with a form for an answer: what asks first, news after it.
// A message that is shown stays the same element, so that nobody loses what is being typed.

import { newKey } from "./api.js";
import { KeyedList, ago, around, make } from "./text.js";

const SAYS = {
  query: "asks", task: "wants", confirmation: "confirms", task_done: "has done a task", task_failed: "has failed",
};
const ASKING = new Set(["query", "task"]);

function asks(message) {
  return ASKING.has(message.kind);
}

export class Inbox {
  // `answer(id, text, key)` sends an answer, `dismiss(ids)` puts messages away; both throw when they are refused.
  // `said(text)` is for all to hear.
  constructor(list, { answer, dismiss, said }) {
    Object.assign(this, { answer, dismiss, said });
    this.gone = new Set();
    this.messages = [];
    this.items = new KeyedList(list, { key: (message) => message.id, make: (message) => this.item(message) });
  }

  get news() {
    return this.messages.filter((message) => !asks(message) && !this.gone.has(message.id));
  }

  // Puts all away that only tells something, as far as it is shown.
  async dismissNews() {
    const news = this.news;
    await this.dismiss(news.map((message) => message.id));
    for (const message of news) this.remove(message);
    this.said(`Dismissed ${news.length} messages.`);
  }

  show(messages) {
    this.messages = messages;
    const isWrittenTo = (element) => element.querySelector("textarea").value.trim() !== "";
    // A reading that began before an answer still has the question.
    const left = messages.filter((message) => !this.gone.has(message.id));
    this.items.show([...left.filter(asks), ...left.filter((each) => !asks(each)).reverse()], isWrittenTo);
  }

  clear() {
    this.items.clear();
  }

  item(message) {
    const item = make("li", "", asks(message) ? "letter asks" : "letter");
    const name = message.from_name || message.from;
    const urgent = message.priority === "urgent" ? make("span", "urgent", "chip bad") : null;
    const kind = make("span", SAYS[message.type] || SAYS[message.kind] || "tells", "faint");
    item.append(around("div", "head", make("h3", name), kind, urgent, ago(message.created_at)));
    item.append(make("p", message.text || "", "said"));
    const form = this.form(message, name);
    if (asks(message)) {
      item.append(form);
    } else {
      const reply = make("details");
      reply.append(make("summary", "Reply"), form);
      item.append(around("div", "news", reply, this.away(message, name)));
    }
    return item;
  }

  away(message, name) {
    const button = make("button", "Dismiss", "plain");
    button.type = "button";
    button.setAttribute("aria-label", `Dismiss what ${name} tells`);
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await this.dismiss([message.id]);
        this.done(message, `Dismissed what ${name} told.`);
      } catch (error) {
        button.replaceWith(make("p", error.message, "bad"));
      }
    });
    return button;
  }

  form(message, name) {
    const form = make("form");
    const text = make("textarea");
    text.required = true;
    text.rows = 2;
    text.setAttribute("aria-label", `Answer to ${name}`);
    text.placeholder = "Your answer";
    const button = make("button", "Answer");
    const state = make("p", "", "bad");
    state.setAttribute("role", "alert");
    form.append(text, around("div", "row", button, make("span", "or Ctrl+Enter", "faint keys")), state);
    text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      form.requestSubmit();
    });
    let draft = { said: "", key: "" };
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      // The same answer has the same key: sent again after a lost connection, it arrives once.
      if (draft.said !== text.value) draft = { said: text.value, key: newKey() };
      button.disabled = true;
      state.textContent = "";
      try {
        await this.answer(message.id, text.value, draft.key);
        this.done(message, `Answered ${name}.`);
      } catch (error) {
        state.textContent = `Not sent: ${error.message}`;
      }
      button.disabled = false;
    });
    return form;
  }

  // It has gone. Whoever answers by the keyboard goes on with the next message.
  done(message, what) {
    const item = this.items.shown.get(message.id);
    // A button that is disabled has lost it to the body.
    const hadFocus = document.activeElement === document.body || item?.contains(document.activeElement);
    const next = item?.nextElementSibling?.querySelector("textarea, summary");
    this.remove(message);
    this.said(what);
    if (hadFocus) (next || this.items.list.closest("section").querySelector("h2")).focus();
  }

  remove(message) {
    this.gone.add(message.id);
    // A reading may have been faster.
    this.items.shown.get(message.id)?.remove();
    this.items.shown.delete(message.id);
  }
}
