// The agents: who each is, what it does now, what waits for it, and on request what its CLI prints.

import { KeyedList, ago, around, make, plain } from "./text.js";

const TONES = { working: "good", error: "bad", paused: "warn", draining: "warn", starting: "busy" };
const DOING = {
  idle: "Waits for work",
  starting: "Waits for a runtime to start it",
  paused: "Paused",
  draining: "Ends after its turn",
  stopped: "Stopped",
  error: "Cannot go on",
};
const MOST_FOLLOWED = 6;
const BYTES = 8000;

export function toneOf(state) {
  return TONES[state] || "";
}

function lastLine(text) {
  return text.trimEnd().split("\n").pop().trim().slice(0, 300);
}

function mailOf({ waiting, urgent, in_hand: inHand }) {
  const parts = [make("span", "Mailbox ", "faint")];
  if (urgent) parts.push(make("span", `${urgent} urgent`, "chip bad"));
  if (waiting) parts.push(make("span", `${waiting} waiting`, "chip"));
  if (inHand) parts.push(make("span", `${inHand} in hand`, "chip"));
  if (parts.length === 1) parts.push(make("span", "empty", "faint"));
  return parts;
}

function roundsOf(agent) {
  const bar = make("progress");
  bar.max = agent.max_rounds;
  bar.value = Math.min(agent.rounds_completed, agent.max_rounds);
  bar.setAttribute("aria-label", "Rounds");
  const text = make("span", `${agent.rounds_completed} of ${agent.max_rounds} rounds`, "faint");
  return around("p", "rounds", bar, text);
}

export class Agents {
  // `opened()` is called when somebody wants to see what an agent prints.
  constructor(list, opened) {
    this.opened = opened;
    this.lines = [];
    this.items = new KeyedList(list, {
      key: ({ agent }) => agent.id,
      make: (line) => this.item(line),
      update: (element, line) => this.update(element, line),
    });
  }

  // `started` has the time at which a task was begun, by its id.
  show(lines, started) {
    this.lines = lines;
    this.started = started;
    this.items.show(lines);
  }

  clear() {
    this.lines = [];
    this.items.clear();
  }

  item({ agent }) {
    const item = make("li", "", "agent");
    const output = make("details", "", "output");
    const text = make("pre", "…");
    text.tabIndex = 0;
    text.setAttribute("aria-label", `What ${agent.name} printed`);
    output.append(make("summary", "Output"), text);
    output.addEventListener("toggle", () => output.open && this.opened());
    item.append(make("div", "", "state"), output);
    item.dataset.agent = agent.name;
    return item;
  }

  update(item, { agent, mail, work }) {
    const pill = make("span", agent.state, `pill ${toneOf(agent.state)}`);
    const title = make("h3", agent.nickname || agent.name);
    const who = [agent.nickname ? agent.name : "", agent.role, agent.cli].filter(Boolean).join(" · ");
    const since = agent.state === "working" && this.started.get(agent.current_task);
    const doing = make("p", work || DOING[agent.state] || agent.state, work ? "doing" : "doing faint");
    const now = item.querySelector(".now") || make("p", "", "now faint");
    now.hidden = agent.state !== "working" || now.textContent === "";
    const about = make("p", who, "faint who");
    if (since) about.append(" · began ", ago(since));
    const parts = [around("div", "head", title, pill), about, doing, now];
    if (agent.reason) parts.push(make("p", agent.reason, "warn"));
    parts.push(around("p", "mail", ...mailOf(mail)), roundsOf(agent));
    item.dataset.state = agent.state;
    item.firstElementChild.replaceChildren(...parts);
  }

  // Those whose output the page shows: all that were opened, and the first that are at work.
  followed() {
    const isOpen = (agent) => this.items.shown.get(agent.id)?.querySelector("details").open;
    const found = this.lines.map(({ agent }) => agent);
    const working = found.filter((agent) => agent.state === "working").slice(0, MOST_FOLLOWED);
    return found.filter((agent) => isOpen(agent) || working.includes(agent));
  }

  // Asks for the outputs of those; one that cannot be had leaves what was there.
  async read(api, agents) {
    await Promise.allSettled(agents.map(async (agent) => {
      const found = await api.get(`/v1/agents/${agent.id}/logs?bytes=${BYTES}`);
      this.print(agent, plain(found.files.at(-1)?.text || ""));
    }));
  }

  print(agent, text) {
    const item = this.items.shown.get(agent.id);
    if (!item) return;
    const pre = item.querySelector("pre");
    const isAtEnd = pre.scrollTop + pre.clientHeight >= pre.scrollHeight - 4;
    if (pre.textContent !== text) pre.textContent = text || "Nothing yet.";
    if (isAtEnd) pre.scrollTop = pre.scrollHeight;
    const now = item.querySelector(".now");
    now.textContent = lastLine(text);
    now.hidden = item.dataset.state !== "working" || now.textContent === "";
  }
}
