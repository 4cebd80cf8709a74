// The town on one page. Every event makes the page read the overview again, but not more often than the limits of a
// key allow; what is shown is therefore always a state that was, and never a guess from events.

import { Inbox } from "./inbox.js";
import { Stream } from "./stream.js";
import { make } from "./text.js";

const KEY = "townhall.token";
const BETWEEN = 3000; // Milliseconds between two readings: two requests each, of 120 a minute.
const LOST = 15000;
const OPEN_STATES = new Set(["pending", "assigned", "running", "failed"]);
const GOOD = new Set(["working", "running", "completed"]);
const BAD = new Set(["error", "failed"]);

const byId = (id) => document.getElementById(id);
const inbox = new Inbox(byId("messages"), answer);
let token = "";
let stream = null;
let timer = null;
let readAt = 0;
let isReading = false;
let isStale = false;

class Refused extends Error {
  constructor(response, text) {
    super(text);
    this.status = response.status;
    this.after = 1000 * Number(response.headers.get("Retry-After") || 0);
  }
}

async function ask(path, options = {}) {
  const headers = { Authorization: `Bearer ${token}`, ...options.headers };
  const response = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  throw new Refused(response, [problem.detail || `${response.status}`, problem.hint].filter(Boolean).join(". "));
}

async function answer(body, key) {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": key };
  try {
    await ask("/v1/messages/send", { method: "POST", headers, body: JSON.stringify(body) });
    return "";
  } catch (error) {
    return `Not sent: ${error.message}`;
  }
}

function toneOf(state) {
  return GOOD.has(state) ? "good" : BAD.has(state) ? "bad" : "faint";
}

function mailOf(mail) {
  const parts = [`${mail.waiting} waiting`];
  if (mail.urgent) parts.push(`${mail.urgent} urgent`);
  if (mail.in_hand) parts.push(`${mail.in_hand} in hand`);
  return `Mail: ${parts.join(", ")}`;
}

function agentItem({ agent, mail, work }) {
  const item = make("li");
  const head = make("p");
  head.append(make("span", agent.nickname || agent.name, "name"), make("span", agent.state, toneOf(agent.state)));
  item.append(head);
  item.append(make("p", [agent.name, agent.role, agent.cli].filter(Boolean).join(" · "), "faint"));
  item.append(make("p", work || agent.current_task || "No task", work || agent.current_task ? "" : "faint"));
  item.append(make("p", `${mailOf(mail)} · round ${agent.rounds_completed} of ${agent.max_rounds}`, "faint"));
  if (agent.reason) item.append(make("p", agent.reason, "warn"));
  return item;
}

function taskItem(task) {
  const item = make("li");
  item.append(make("span", task.assigned_to_name || "nobody yet", "name"), make("span", task.description));
  const more = task.result || task.error;
  if (more) item.append(make("p", more, "faint"));
  return item;
}

// Groups stay the same elements, so that what was opened stays open.
function groupOf(state) {
  const id = `tasks-${state}`;
  if (!byId(id)) {
    const group = make("details");
    group.id = id;
    group.open = OPEN_STATES.has(state);
    group.append(make("summary"), make("ul", "", "plain"));
    byId("tasks").append(group);
  }
  return byId(id);
}

function showTasks(counts, tasks) {
  for (const [state, count] of Object.entries(counts)) {
    const group = groupOf(state);
    const here = tasks.filter((task) => task.state === state);
    const some = here.length < count ? `, the latest ${here.length} here` : "";
    group.firstElementChild.textContent = `${state}: ${count}${count ? some : ""}`;
    group.lastElementChild.replaceChildren(...here.map(taskItem));
    group.hidden = count === 0;
  }
}

function eventItem(event, names) {
  const item = make("li");
  const name = names[event.agent] || "";
  item.append(make("span", event.at.slice(11, 19), "faint"), make("span", ` ${event.type} ${name} `, ""));
  item.append(make("span", event.detail || "", "faint"));
  return item;
}

function show(overview, letters) {
  byId("town").textContent = overview.name;
  const { waiting } = overview.conductor;
  document.title = `${waiting ? `(${waiting}) ` : ""}${overview.name} · Townhall`;
  const some = letters.count < letters.total ? `the oldest ${letters.count} of ` : "";
  byId("inbox-title").textContent = `Your inbox (${some}${letters.total})`;
  byId("no-messages").hidden = letters.messages.length > 0;
  inbox.show(letters.messages);
  byId("agents-title").textContent = `Agents (${overview.agents.length})`;
  byId("no-agents").hidden = overview.agents.length > 0;
  byId("agents").replaceChildren(...overview.agents.map(agentItem));
  showTasks(overview.task_counts, overview.tasks);
  byId("events").replaceChildren(...overview.events.slice(-30).reverse().map((each) => eventItem(each, overview.names)));
}

// Reads all again, soon: events that come close together make one reading.
function refresh(least = 0) {
  isStale = true;
  if (timer !== null || isReading || document.hidden || !token) return;
  const wait = Math.max(least, readAt + BETWEEN - Date.now(), 100);
  timer = setTimeout(read, wait);
}

async function read() {
  const mine = token;
  timer = null;
  isReading = true;
  isStale = false;
  readAt = Date.now();
  let least = 0;
  try {
    const [overview, letters] = await Promise.all([ask("/v1/overview"), ask("/v1/inbox?limit=200")]);
    if (mine === token) show(overview, letters);
  } catch (error) {
    isStale = true;
    // Without a status nobody has answered: the stream says when townhall is back.
    least = error.after || (error.status ? BETWEEN : LOST);
    if (mine === token && (error.status === 401 || error.status === 403)) leave(error.message);
  }
  isReading = false;
  if (isStale) refresh(least);
}

function say(text, tone, isLost = false) {
  byId("connection").textContent = text;
  byId("connection").className = tone;
  byId("again").hidden = !isLost;
}

function enter(given) {
  token = given;
  sessionStorage.setItem(KEY, token);
  byId("log-in").hidden = true;
  byId("board").hidden = false;
  byId("log-out").hidden = false;
  say("Connecting …", "faint");
  stream = new Stream({
    url: "/v1/events",
    token,
    heard: () => refresh(),
    opened: () => {
      say("● Live", "good");
      clearTimeout(timer);
      timer = null;
      readAt = 0;
      refresh();
    },
    lost: (wait) => say(`○ No connection; next try in ${Math.ceil(wait / 1000)} s. What is shown may be old.`, "bad", true),
    refused: async (response) => {
      const problem = await response.json().catch(() => ({}));
      leave(problem.detail || "This token is not accepted");
    },
  });
  stream.run();
}

function leave(trouble = "") {
  if (stream) stream.close();
  stream = null;
  token = "";
  clearTimeout(timer);
  timer = null;
  sessionStorage.removeItem(KEY);
  inbox.clear();
  for (const id of ["agents", "tasks", "events"]) byId(id).replaceChildren();
  byId("board").hidden = true;
  byId("log-out").hidden = true;
  byId("log-in").hidden = false;
  byId("trouble").textContent = trouble;
  byId("town").textContent = "Townhall";
  document.title = "Townhall";
  say("", "");
  byId("token").focus();
}

byId("log-in").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = byId("token").value.trim();
  byId("token").value = "";
  // What cannot stand in a header cannot be a token either.
  if (/^[\x21-\x7e]+$/.test(given)) enter(given);
  else byId("trouble").textContent = "This is no token.";
});
byId("log-out").addEventListener("click", () => leave());
byId("again").addEventListener("click", () => stream && stream.wake());
window.addEventListener("online", () => stream && stream.wake());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && isStale) refresh();
});

const kept = sessionStorage.getItem(KEY);
if (kept) enter(kept);
else leave();
