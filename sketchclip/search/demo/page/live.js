// Requests to the server: one at a time, and only the newest answer counts.

const PAUSE = 60; // milliseconds without a change before a query is sent
const LONGEST = 200; // while somebody draws on and on, a query at least this often

export class ServerError extends Error {
  constructor(message, retryAfter = 0) {
    super(message);
    this.retryAfter = retryAfter;
  }
}

export async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("The server does not answer. Is sketchclip demo still running?");
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => ({}));
  throw new ServerError(
    told.error ?? `The server answered with status ${response.status}.`,
    Number(response.headers.get("Retry-After") ?? 0),
  );
}

export function post(path, body, signal) {
  const headers = { "Content-Type": "application/json" };
  return ask(path, { method: "POST", headers, body: JSON.stringify(body), signal });
}

export class LiveSearch {
  #query = null; // the newest one, not yet sent
  #flight = null; // AbortController of the one that is under way
  #timer = 0;
  #since = 0; // when the newest query that was not sent came

  constructor(answered, failed) {
    this.answered = answered;
    this.failed = failed;
  }

  get isWaiting() {
    return Boolean(this.#query || this.#flight);
  }

  // continues: the drawing only grew, so that the answer to the query before is still of interest.
  request(query, continues) {
    if (!continues) this.cancel();
    if (!this.#query) this.#since = performance.now();
    this.#query = query;
    this.#schedule(continues ? PAUSE : 0);
  }

  cancel() {
    this.#flight?.abort();
    this.#flight = null;
    this.#query = null;
    clearTimeout(this.#timer);
  }

  #schedule(pause) {
    if (this.#flight) return; // its end sends the next one
    clearTimeout(this.#timer);
    const longest = this.#since + LONGEST - performance.now();
    this.#timer = setTimeout(() => this.#send(), Math.max(0, Math.min(pause, longest)));
  }

  async #send() {
    const query = this.#query;
    const flight = new AbortController();
    this.#flight = flight;
    this.#query = null;
    let [answer, failure] = [null, null];
    try {
      answer = await (await post("api/search", query, flight.signal)).json();
    } catch (error) {
      failure = error;
    }
    if (this.#flight !== flight) return; // something else is asked by now
    this.#flight = null;
    const pause = 1000 * (failure?.retryAfter ?? 0);
    if (pause) this.#query ??= query;
    if (failure) this.failed(failure);
    else this.answered(answer, query);
    if (!this.#query) return;
    if (pause) this.#timer = setTimeout(() => this.#send(), pause);
    else this.#schedule(0);
  }
}
