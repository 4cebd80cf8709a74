// The page of the API: reads the description, and sends what is typed in.
// Everything is put in as text. Nothing that a server says becomes markup.
"use strict";

const KEY = "townhall.token";
const LONGEST = 200000;
const DEPTH = 6;
let description = {};
let numbers = 0;

const byId = (id) => document.getElementById(id);

function make(tag, text = "", kind = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

// What a reference of the description points at.
function resolve(schema) {
  let found = schema || {};
  for (let step = 0; found.$ref && step < DEPTH; step += 1) {
    found = found.$ref.split("/").slice(1).reduce((part, name) => (part || {})[name], description) || {};
  }
  return found;
}

function kindOf(schema) {
  const found = resolve(schema);
  if (found.enum) return found.enum.map(String).join(" | ");
  const choices = found.anyOf || found.oneOf;
  if (choices) return choices.map(kindOf).join(" or ");
  if (found.type === "array") return `list of ${kindOf(found.items)}`;
  return Array.isArray(found.type) ? found.type.join(" or ") : found.type || "anything";
}

// A value that the schema could mean, to begin with.
function example(schema, depth = 0) {
  const found = resolve(schema);
  if (schema && schema.default !== undefined) return schema.default;
  if (found.default !== undefined) return found.default;
  if (found.enum) return found.enum[0];
  const choices = found.anyOf || found.oneOf;
  if (choices) return example(choices[0], depth + 1);
  if (depth > DEPTH) return null;
  if (found.type === "object") {
    const wanted = found.required || [];
    return Object.fromEntries(wanted.map((name) => [name, example((found.properties || {})[name], depth + 1)]));
  }
  return { array: [], integer: 0, number: 0, boolean: false, string: "" }[found.type] ?? null;
}

function field(owner, name, about, tag, required) {
  numbers += 1;
  const label = make("label", name, required ? "required" : "");
  const input = make(tag);
  input.id = `field-${numbers}`;
  label.htmlFor = input.id;
  owner.append(label, input);
  if (about) {
    const note = make("span", about, "faint");
    note.id = `note-${numbers}`;
    input.setAttribute("aria-describedby", note.id);
    owner.append(note);
  }
  return input;
}

function parameterField(owner, parameter) {
  const kind = kindOf(parameter.schema);
  const said = parameter.description || (parameter.schema || {}).description;
  const about = `${parameter.in}, ${kind}${said ? `. ${said}` : ""}`;
  const input = field(owner, parameter.name, about, "input", parameter.required);
  input.required = Boolean(parameter.required);
  input.spellcheck = false;
  return { ...parameter, input };
}

// Several values of one parameter are written with commas between.
function valuesOf(parameter) {
  const text = parameter.input.value;
  if (text === "") return [];
  return kindOf(parameter.schema).includes("list of") ? text.split(",").map((each) => each.trim()) : [text];
}

function requestOf(method, path, parameters, body) {
  let target = path;
  const query = new URLSearchParams();
  const headers = {};
  for (const parameter of parameters) {
    const values = valuesOf(parameter);
    if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(values[0] || ""));
    else if (values.length && parameter.in === "header") headers[parameter.name] = values[0];
    else values.forEach((value) => query.append(parameter.name, value));
  }
  const token = byId("token").value.trim();
  if (token) headers.Authorization = `Bearer ${token}`;
  const request = { method: method.toUpperCase(), headers, cache: "no-store", credentials: "omit" };
  if (body && body.value.trim()) {
    headers["Content-Type"] = "application/json";
    request.body = body.value;
  }
  return [String(query) ? `${target}?${query}` : target, request];
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

// Shows the answer as it comes: a stream has no end of its own.
async function show(response, state, shown) {
  const id = response.headers.get("X-Request-Id");
  state.textContent = `${`${response.status} ${response.statusText}`.trim()}${id ? ` · request ${id}` : ""}`;
  state.className = response.ok ? "good" : "bad";
  const isStream = (response.headers.get("Content-Type") || "").startsWith("text/event-stream");
  shown.hidden = false;
  if (!isStream) {
    shown.textContent = pretty(await response.text()).slice(0, LONGEST);
    return;
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    shown.textContent = (shown.textContent + part.value).slice(-LONGEST);
  }
}

function tryForm(method, path, operation) {
  const form = make("form");
  form.autocomplete = "off";
  const parameters = (operation.parameters || []).map((each) => parameterField(form, each));
  const content = ((operation.requestBody || {}).content || {})["application/json"];
  let body = null;
  if (content) {
    const known = Object.entries(resolve(content.schema).properties || {});
    const about = known.map(([name, schema]) => `${name}: ${kindOf(schema)}`).join("; ");
    body = field(form, "Body (JSON)", about, "textarea", operation.requestBody.required);
    body.rows = 5;
    body.spellcheck = false;
    body.value = JSON.stringify(example(content.schema), null, 2);
  }
  const row = make("div", "", "row");
  const send = make("button", "Send");
  const stop = make("button", "Stop", "plain");
  stop.type = "button";
  stop.hidden = true;
  row.append(send, stop);
  const state = make("p");
  state.setAttribute("role", "status");
  const shown = make("pre");
  shown.hidden = true;
  shown.tabIndex = 0;
  form.append(row, state, shown);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const control = new AbortController();
    stop.onclick = () => control.abort();
    send.disabled = true;
    stop.hidden = false;
    shown.textContent = "";
    state.className = "";
    state.textContent = "Sent …";
    try {
      const [target, request] = requestOf(method, path, parameters, body);
      await show(await fetch(target, { ...request, signal: control.signal }), state, shown);
    } catch (error) {
      state.className = "bad";
      state.textContent = control.signal.aborted ? "Stopped." : `No answer: ${error.message}`;
    }
    send.disabled = false;
    stop.hidden = true;
  });
  return form;
}

function routeOf(method, path, operation) {
  const details = make("details");
  const summary = make("summary");
  summary.append(make("span", method.toUpperCase(), "method"), make("code", path), make("span", operation.summary || ""));
  details.append(summary);
  details.dataset.words = `${method} ${path} ${operation.summary || ""} ${(operation.tags || []).join(" ")}`.toLowerCase();
  details.addEventListener("toggle", () => {
    if (!details.open || details.childElementCount > 1) return;
    const route = make("div", "", "route");
    const isOpen = operation.security && operation.security.length === 0;
    route.append(make("p", isOpen ? "Open to all: needs no token." : operation.description || ""));
    route.append(tryForm(method, path, operation));
    const answers = make("p", `Answers: ${Object.keys(operation.responses || {}).join(", ")}`, "faint");
    route.append(answers);
    details.append(route);
  });
  return details;
}

function showRoutes() {
  const groups = new Map();
  for (const [path, methods] of Object.entries(description.paths || {})) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = (operation.tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(routeOf(method, path, operation));
    }
  }
  for (const [tag, routes] of groups) {
    const section = make("section");
    section.append(make("h2", tag), ...routes);
    byId("routes").append(section);
  }
}

function find() {
  const words = byId("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of byId("routes").children) {
    let seen = 0;
    for (const route of section.querySelectorAll("details")) {
      route.hidden = !words.every((word) => route.dataset.words.includes(word));
      if (!route.hidden) seen += 1;
    }
    section.hidden = seen === 0;
  }
}

async function begin() {
  byId("token").value = sessionStorage.getItem(KEY) || "";
  byId("token").addEventListener("input", () => sessionStorage.setItem(KEY, byId("token").value.trim()));
  byId("find").addEventListener("input", find);
  byId("access").addEventListener("submit", (event) => event.preventDefault());
  try {
    const response = await fetch("/openapi.json", { credentials: "omit" });
    if (!response.ok) throw new Error(`${response.status}`);
    description = await response.json();
  } catch (error) {
    byId("state").className = "bad";
    byId("state").textContent = `The description cannot be read: ${error.message}. Load the page again.`;
    return;
  }
  byId("version").textContent = description.info.version;
  showRoutes();
  byId("state").textContent = `${byId("routes").querySelectorAll("details").length} routes`;
}

begin();
