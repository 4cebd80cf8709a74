// The tasks, by state: one column for each that holds any.

import { KeyedList, ago, around, make } from "./text.js";

const STATES = [
  ["running", "Running", "good"],
  ["assigned", "Assigned", "busy"],
  ["pending", "Pending", ""],
  ["failed", "Failed", "bad"],
  ["completed", "Completed", "good"],
  ["cancelled", "Cancelled", ""],
];

function when(task) {
  return task.completed_at || task.started_at || task.created_at;
}

function fill(item, task) {
  const head = around("p", "head", make("strong", task.assigned_to_name || "nobody yet"), ago(when(task)));
  const text = make("p", task.description, "clamp");
  text.title = task.description.slice(0, 1000);
  const parts = [head, text];
  const said = task.note || task.result || task.claim;
  if (said) {
    const more = make("p", said, task.state === "failed" ? "clamp bad" : "clamp faint");
    more.title = said.slice(0, 1000);
    parts.push(more);
  }
  if (task.waits) parts.push(make("p", task.claim ? "In review" : "Waits for other tasks", "faint"));
  if (task.tags.length) parts.push(around("p", "", ...task.tags.map((tag) => make("span", tag, "chip"))));
  item.replaceChildren(...parts);
}

export class Tasks {
  constructor(board) {
    this.board = board;
    this.columns = new Map();
  }

  clear() {
    this.columns.clear();
    this.board.replaceChildren();
  }

  // `counts` are of all tasks, `tasks` the newest of them.
  show(counts, tasks) {
    for (const [state, name, tone] of STATES) {
      const column = this.column(state, name, tone);
      const here = tasks.filter((task) => task.state === state);
      const left = counts[state] - here.length;
      column.section.hidden = !counts[state];
      column.count.textContent = counts[state];
      column.items.show(here);
      column.more.hidden = left <= 0;
      column.more.textContent = `and ${left} older`;
    }
  }

  column(state, name, tone) {
    if (!this.columns.has(state)) {
      const title = make("h3", name);
      title.id = `tasks-${state}`;
      const count = make("span", "", `pill ${tone}`);
      const list = make("ul", "", "cards");
      const more = make("p", "", "faint");
      const scroll = around("div", "scroll", list, more);
      // It may be higher than its place: the keyboard must reach all of it.
      scroll.tabIndex = 0;
      scroll.setAttribute("role", "group");
      scroll.setAttribute("aria-labelledby", title.id);
      const section = around("section", "column", around("div", "head", title, count), scroll);
      const items = new KeyedList(list, { key: (task) => task.id, make: () => make("li"), update: fill });
      this.columns.set(state, { section, count, items, more });
      this.board.append(section);
    }
    return this.columns.get(state);
  }
}
