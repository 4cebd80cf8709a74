// Questions to townhall. The token goes into a header and nowhere else.

// Whose mailbox the person reads.
export const PERSON = "00000000-0000-0000-0000-000000000001";

export class Refused extends Error {
  constructor(response, problem) {
    super([problem.detail || `${response.status}`, problem.hint].filter(Boolean).join(". "));
    this.status = response.status;
    this.after = 1000 * Number(response.headers.get("Retry-After") || 0);
  }
}

export class Api {
  constructor(token) {
    this.token = token;
  }

  get(path) {
    return this.ask(path, {});
  }

  // Two posts with one key, where one is given, are done once: what was lost on the way can be sent again.
  post(path, body, key) {
    const headers = { "Content-Type": "application/json", ...(key && { "Idempotency-Key": key }) };
    return this.ask(path, { method: "POST", headers, body: JSON.stringify(body) });
  }

  async ask(path, options) {
    const headers = { Authorization: `Bearer ${this.token}`, ...options.headers };
    const response = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
    if (response.ok) return response.json();
    throw new Refused(response, await response.json().catch(() => ({})));
  }
}

export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(16)).join("-");
}

// How often the page asks: at once after a quiet time, later no faster than half of what a key may.
export class Pace {
  constructor(most = 30, each = 1000, now = () => Date.now()) {
    Object.assign(this, { most, each, now });
    this.left = most;
    this.at = now();
  }

  fill() {
    const now = this.now();
    this.left = Math.min(this.most, this.left + (now - this.at) / this.each);
    this.at = now;
  }

  // Milliseconds until so many questions may be asked.
  wait(count) {
    this.fill();
    return Math.max(0, (Math.min(count, this.most) - this.left) * this.each);
  }

  spend(count) {
    this.fill();
    this.left -= count;
  }
}
