// What the server tells once a second, and what is remembered of it: five minutes, no more.

import { events } from "./events.js";
import { Refused, ask, refusal } from "./key.js";

const REMEMBERED = 300;

/** Columns of numbers by time; the oldest fall out. */
class History {
  constructor(names) {
    this.columns = new Map(names.map((name) => [name, []]));
  }

  push(values) {
    for (const [name, column] of this.columns) {
      column.push(values[name] ?? null);
      if (column.length > REMEMBERED) column.shift();
    }
  }

  /** The columns of these names. */
  of(...names) {
    return names.map((name) => this.columns.get(name));
  }
}

const sum = (kinds) => Object.values(kinds).reduce((all, one) => all + one, 0);

/** How long to wait before the server is tried again, in seconds: longer with each failure. */
const PATIENCE = [1, 2, 4, 8];

/** The server's history, that of each model, and the newest snapshot. */
export class Feed {
  server = new History(["at", "late", "timer"]);
  models = new Map();
  now = null;

  /** Calls `changed` with every snapshot, `lost` when there is no connection, and `barred` if the key may not see this. */
  constructor({ changed, lost, barred }) {
    Object.assign(this, { changed, lost, barred });
    window.addEventListener("pagehide", () => this.stop());
  }

  async start() {
    this.stop();
    const stop = new AbortController();
    this.stopping = stop;
    for (let failures = 0; !stop.signal.aborted; failures += 1) {
      let why = null;
      try {
        const response = await ask("v1/overview/events", { signal: stop.signal });
        if (response.status === 403) {
          this.barred((await refusal(response)).message);
          return;
        }
        if (!response.ok) throw await refusal(response);
        for await (const data of events(response)) {
          failures = 0;
          this.take(JSON.parse(data));
          this.changed(this);
        }
      } catch (error) {
        if (error.status === 401) return;
        why = error instanceof Refused ? error.message : null;
      }
      if (stop.signal.aborted) return;
      this.lost(why);
      const seconds = PATIENCE[Math.min(failures, PATIENCE.length - 1)];
      await new Promise((done) => setTimeout(done, seconds * 1000));
    }
  }

  stop() {
    this.stopping?.abort();
  }

  /** Stops, and forgets what it was told. */
  end() {
    this.stop();
    this.server = new History(["at", "late", "timer"]);
    this.models.clear();
    this.now = null;
  }

  take(snapshot) {
    const before = this.now;
    // What somebody else was told a moment ago may come once more.
    if (before?.at_ms === snapshot.at_ms) return;
    this.now = snapshot;
    const at = snapshot.at_ms / 1000;
    const { late_ms, timer_late_ms } = snapshot.event_loop;
    this.server.push({ at, late: late_ms.recent_max, timer: timer_late_ms.recent_max });
    const seconds = before ? at - before.at_ms / 1000 : 0;
    for (const model of snapshot.models) {
      const old = before?.models.find(({ name }) => name === model.name);
      const grown = (pick) => (old ? Math.max(pick(model.totals) - pick(old.totals), 0) : 0);
      const runs = grown(({ runs }) => runs);
      const ended = grown(({ answered, failed }) => answered + sum(failed));
      if (!this.models.has(model.name)) this.models.set(model.name, new History(
        ["at", "rate", "queue", "running", "rows", "requests", "median", "p99", "waited", "ran"]));
      this.models.get(model.name).push({
        at,
        rate: seconds > 0 ? ended / seconds : null,
        queue: model.queue.requests,
        running: model.instances.running,
        rows: runs ? grown(({ batched_rows }) => batched_rows) / runs : null,
        requests: runs ? grown(({ batched_requests }) => batched_requests) / runs : null,
        median: model.lately.total_ms?.p50,
        p99: model.lately.total_ms?.p99,
        waited: model.lately.queue_ms?.p50,
        ran: model.lately.run_ms?.p50,
      });
    }
    const names = new Set(snapshot.models.map(({ name }) => name));
    for (const name of this.models.keys()) if (!names.has(name)) this.models.delete(name);
  }
}
