// The live events, read by fetch: the token goes into a header, which an EventSource cannot send.
// A stream that breaks is taken up again behind the last event that was seen.

const SILENCE = 40000; // Milliseconds; townhall says something every 15 seconds.
const SHORTEST = 1000;
const LONGEST = 30000;

// What can be read as whole events from a text, and what is left over of it.
export function parse(text) {
  const blocks = text.split("\n\n");
  const rest = blocks.pop();
  const events = blocks.map((block) => {
    const event = { id: "", type: "", data: "" };
    for (const line of block.split("\n")) {
      const colon = line.indexOf(":");
      if (colon <= 0) continue;
      const value = line.slice(colon + 1).replace(/^ /, "");
      const name = line.slice(0, colon);
      if (name === "id") event.id = value;
      if (name === "event") event.type = value;
      if (name === "data") event.data += value;
    }
    return event;
  });
  return [events, rest];
}

// Milliseconds to wait before a try; later ones wait longer, and not all clients the same time.
export function pause(tries, chance = Math.random()) {
  return Math.min(LONGEST, SHORTEST * 2 ** Math.min(tries, 10)) * (0.5 + chance / 2);
}

export class Stream {
  // `heard(event)`, `opened()`, `lost(milliseconds)` and `refused(response)` are told what happens.
  constructor({ url, token, heard, opened, lost, refused }) {
    Object.assign(this, { url, token, heard, opened, lost, refused });
    this.last = "";
    this.tries = 0;
    this.isClosed = false;
    this.control = null;
    this.wake = () => {};
  }

  async run() {
    while (!this.isClosed) {
      let least = 0;
      try {
        least = await this.follow();
      } catch {
        // Lost: what matters is to come back.
      }
      if (this.isClosed) return;
      const wait = Math.max(least, pause(this.tries));
      this.tries += 1;
      this.lost(wait);
      await this.rest(wait);
    }
  }

  // Reads until the end; gives the milliseconds that the server wants to be left alone.
  async follow() {
    this.control = new AbortController();
    let timer = setTimeout(() => this.control.abort(), SILENCE);
    try {
      const headers = { Authorization: `Bearer ${this.token}`, Accept: "text/event-stream" };
      if (this.last) headers["Last-Event-ID"] = this.last;
      const options = { headers, signal: this.control.signal, cache: "no-store", credentials: "omit" };
      const response = await fetch(this.url, options);
      if (response.status === 401 || response.status === 403) {
        this.isClosed = true;
        await this.refused(response);
        return 0;
      }
      // An id that the server cannot use must not be sent for ever.
      if (response.status === 422) this.last = "";
      if (!response.ok) return 1000 * Number(response.headers.get("Retry-After") || 0);
      this.opened();
      const reader = response.body.getReader();
      const decoder = new TextDecoder();
      let text = "";
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        clearTimeout(timer);
        timer = setTimeout(() => this.control.abort(), SILENCE);
        let events;
        [events, text] = parse(text + decoder.decode(part.value, { stream: true }));
        for (const event of events) this.take(event);
      }
      return 0;
    } finally {
      clearTimeout(timer);
    }
  }

  take(event) {
    this.tries = 0;
    if (event.id) this.last = event.id;
    if (event.type === "reset") this.last = "";
    if (event.type) this.heard(event);
  }

  rest(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  // Ends it for good.
  close() {
    this.isClosed = true;
    if (this.control) this.control.abort();
    this.wake();
  }
}
