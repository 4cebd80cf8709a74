// The town on one page. Every event makes the page read again what it may have changed, but not more often than the
// limits of a key allow; what is shown is therefore always a state that was, and never a guess from events.

import { Agents } from "./agents.js";
import { Api, PERSON, Pace } from "./api.js";
import { Events } from "./events.js";
import { Inbox } from "./inbox.js";
import { Missions } from "./missions.js";
import { Stream } from "./stream.js";
import { Tasks } from "./tasks.js";
import { make, tick } from "./text.js";

const KEY = "townhall.token";
const LETTERS = 200;
const TOGETHER = 120; // Milliseconds: events that come close together make one reading.
const PRINTS = 2000; // What programs print makes no events: it is asked for this often while one runs.
const LOST = 15000;
const MISSIONS = 5; // That are drawn, the newest first.

const byId = (id) => document.getElementById(id);
const pace = new Pace();
const inbox = new Inbox(byId("messages"), { answer, dismiss, said: (text) => (byId("said").textContent = text) });
const agents = new Agents(byId("agents"), () => refresh("prints"));
const tasks = new Tasks(byId("tasks"));
const missions = new Missions(byId("missions"));
const events = new Events(byId("events"));
const stale = new Set(); // Of "overview", "inbox", "missions" and "prints": what has to be read.
let api = null;
let stream = null;
let timer = null;
let isReading = false;

async function answer(id, text, key) {
  await api.post(`/v1/inbox/${encodeURIComponent(id)}/answer`, { answer: text }, key);
}

// Put away twice is put away: nothing needs a key.
async function dismiss(ids) {
  await api.post("/v1/inbox/dismiss", { messages: ids });
}

function figure(count, name, tone = "") {
  const item = make("li", "", count ? tone : "");
  item.append(make("strong", String(count)), make("span", name));
  return item;
}

function showFigures({ agents: lines, task_counts: counts, backlog, put_aside: putAside, runtimes }) {
  const atWork = lines.filter(({ agent }) => agent.in_round).length;
  const alive = lines.some(({ agent }) => !["stopped", "error"].includes(agent.state));
  const waiting = lines.reduce((sum, { mail }) => sum + mail.waiting, 0);
  const figures = [
    figure(atWork, "at work", "good"),
    figure(counts.assigned + counts.running + counts.pending, "tasks open"),
    figure(backlog, "in the backlog"),
    figure(waiting, "in mailboxes"),
  ];
  if (counts.failed) figures.push(figure(counts.failed, "failed", "bad"));
  if (putAside) figures.push(figure(putAside, "put aside: tt dlq", "bad"));
  if (alive && !runtimes.length) figures.unshift(figure("No", "runtime: tt start", "bad"));
  byId("figures").replaceChildren(...figures);
}

function showOverview(overview) {
  byId("town").textContent = overview.name;
  showFigures(overview);
  byId("agents-count").textContent = overview.agents.length;
  byId("no-agents").hidden = overview.agents.length > 0;
  const lines = overview.conducting ? [overview.conducting, ...overview.agents] : overview.agents;
  agents.show(lines, new Map(overview.tasks.map((task) => [task.id, task.started_at])));
  const counts = overview.task_counts;
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  byId("tasks-count").textContent = total;
  byId("no-tasks").hidden = total > 0;
  tasks.show(counts, overview.tasks);
  events.show(overview.events, overview.names);
}

function showInbox({ messages, total, counts }) {
  const asking = counts.tasks + counts.queries;
  document.title = `${asking ? `(${asking}) ` : ""}${byId("town").textContent} · Townhall`;
  byId("inbox-count").textContent = total;
  byId("inbox-count").className = asking ? "pill warn" : "pill";
  byId("no-messages").hidden = total > 0;
  byId("more-messages").hidden = messages.length >= total;
  byId("more-messages").textContent = `and ${total - messages.length} more`;
  inbox.show(messages);
  byId("dismiss-news").hidden = inbox.news.length < 2;
}

async function readMissions(mine) {
  const { missions: found } = await ask(mine, `/v1/missions?limit=${MISSIONS}`);
  const views = await Promise.all(found.map(({ id }) => (
    // One may be cleared between the list and the look.
    ask(mine, `/v1/missions/${id}`).catch((error) => (error.status === 404 ? null : Promise.reject(error)))
  )));
  return views.filter(Boolean);
}

function showMissions(views) {
  byId("missions-section").hidden = !views.length;
  byId("missions-count").textContent = views.length;
  missions.show(views);
}

// Notes what an event may have changed.
function heard({ data, type }) {
  stale.add("overview");
  stale.add("prints");
  let told = {};
  try {
    told = JSON.parse(data);
  } catch {
    // A reset of the stream says nothing more.
  }
  if (told.agent === PERSON || /^(inbox|town|reset)/.test(type)) stale.add("inbox");
  // What an item waits for may be the end of a task, or an agent.
  if (/^(mission|town|reset)/.test(type) || (!byId("missions-section").hidden && /^(task|agent)/.test(type))) {
    stale.add("missions");
  }
  refresh();
}

// Reads what is stale, as soon as the pace allows.
function refresh(...parts) {
  for (const part of parts) stale.add(part);
  if (timer !== null || isReading || document.hidden || !api || !stale.size) return;
  timer = setTimeout(read, Math.max(TOGETHER, pace.wait(3)));
}

async function read() {
  const mine = api;
  timer = null;
  isReading = true;
  let least = 0;
  const wanted = new Set(stale);
  stale.clear();
  const get = (part, path) => wanted.has(part) && ask(mine, path);
  try {
    const [overview, letters, views] = await Promise.all([
      get("overview", "/v1/overview"), get("inbox", `/v1/inbox?limit=${LETTERS}`),
      wanted.has("missions") && readMissions(mine),
    ]);
    if (mine !== api) return;
    if (overview) showOverview(overview);
    if (letters) showInbox(letters);
    if (views) showMissions(views);
    if (wanted.has("prints")) {
      const followed = agents.followed();
      pace.spend(followed.length);
      await agents.read(mine, followed);
    }
  } catch (error) {
    if (mine !== api) return;
    for (const part of wanted) stale.add(part);
    // Without a status nobody has answered: the stream says when townhall is back.
    least = error.after || (error.status ? PRINTS : LOST);
    if (error.status === 401 || error.status === 403) leave(error.message);
  } finally {
    isReading = false;
    if (least) setTimeout(refresh, least);
    else refresh();
  }
}

function ask(mine, path) {
  pace.spend(1);
  return mine.get(path);
}

function say(text, tone, isLost = false) {
  byId("connection").textContent = text;
  byId("connection").className = `pill ${tone}`;
  byId("again").hidden = !isLost;
  document.body.classList.toggle("old", isLost);
}

function enter(token) {
  api = new Api(token);
  sessionStorage.setItem(KEY, token);
  byId("log-in").hidden = true;
  byId("board").hidden = false;
  byId("log-out").hidden = false;
  say("Connecting …", "busy");
  stream = new Stream({
    url: "/v1/events",
    token,
    heard,
    opened: () => {
      say("Live", "good");
      clearTimeout(timer);
      timer = null;
      refresh("overview", "inbox", "missions", "prints");
    },
    lost: (wait) => say(`No connection, next try in ${Math.ceil(wait / 1000)} s. What is shown may be old.`, "bad", true),
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
  api = null;
  clearTimeout(timer);
  timer = null;
  stale.clear();
  sessionStorage.removeItem(KEY);
  for (const part of [inbox, agents, missions, tasks, events]) part.clear();
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
byId("dismiss-news").addEventListener("click", async () => {
  try {
    await inbox.dismissNews();
    byId("dismiss-news").hidden = true;
    byId("inbox-title").focus();
  } catch (error) {
    byId("said").textContent = error.message;
    refresh("inbox");
  }
});
byId("again").addEventListener("click", () => stream && stream.wake());
window.addEventListener("online", () => stream && stream.wake());
document.addEventListener("visibilitychange", () => refresh());
setInterval(() => agents.followed().length && refresh("prints"), PRINTS);
setInterval(tick, 10000);

const kept = sessionStorage.getItem(KEY);
if (kept) enter(kept);
else leave();
