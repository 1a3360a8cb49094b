// Plots of the last five minutes: quiet lines, the newest values beside their names.

import { colour, h, say, sharp } from "./dom.js";

/** How much is shown, in seconds: what there is, between these bounds. */
const [LEAST, MOST] = [30, 300];

const range = (times, least = LEAST) => {
  const now = times.at(-1) ?? 0;
  return [now - Math.min(Math.max(now - (times[0] ?? now), least), MOST), now];
};

/** A time as so long ago. */
const ago = (seconds) => (seconds < 1 ? "now" : seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`);

/** Where the axis of times is marked: at whole steps before now. */
const marks = ([begin, now]) => {
  const step = [10, 20, 60].find((step) => (now - begin) / step <= 6) ?? 120;
  return Array.from({ length: Math.floor((now - begin) / step) + 1 }, (_, at) => now - at * step).reverse();
};

/** Where a value stands by itself, so that no line shows it. */
const alone = (values) => values.flatMap((value, at) =>
  (value != null && values[at - 1] == null && values[at + 1] == null ? [at] : []));

/** A plot of `series`, each `{ label, colour, tell }`, with a title. */
export class Plot {
  constructor(title, series, { least = 1, tell }) {
    this.series = series;
    this.tell = tell;
    this.least = least;
    this.values = series.map(() => h("b", {}, "–"));
    this.surface = h("div", { class: "surface", role: "img", "aria-label": `${title}, over the last five minutes` });
    this.element = h("figure", { class: "plot" },
      h("figcaption", {}, h("span", { class: "what" }, title), h("span", { class: "keys" },
        series.map(({ label, colour }, at) => h("span", { class: `key key-${colour}` }, `${label} `, this.values[at])))),
      this.surface);
    this.data = [[], ...series.map(() => [])];
  }

  /** Draws it; to be called once it is in the document. */
  draw() {
    this.plot?.destroy();
    const axis = { stroke: colour("muted"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    this.plot = new uPlot({
      width: Math.max(this.surface.clientWidth, 120),
      height: 132,
      padding: [8, 14, 0, 0],
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { size: 6 } },
      scales: {
        x: { time: false, range: () => range(this.data[0]) },
        y: { range: (_, __, max) => [0, Math.max((max ?? 0) * 1.15, this.least)] },
      },
      axes: [
        { ...axis, size: 22, gap: 4, splits: () => marks(range(this.data[0])), values: (_, splits) => splits.map((at) => ago(range(this.data[0])[1] - at)), grid: { show: false } },
        { ...axis, size: 54, gap: 6, space: 36, values: (_, splits) => splits.map((value) => (value === 0 ? "0" : this.tell(value))) },
      ],
      series: [{}, ...this.series.map(({ colour: name, fill }) => ({
        stroke: colour(name), width: 1.75, fill: fill ? colour(`${name}-wash`) : undefined,
        points: { show: true, size: 4, width: 0, fill: colour(name), filter: (plot, series) => alone(plot.data[series]) },
      }))],
      hooks: { setCursor: [() => this.label()] },
    }, this.data, this.surface);
    this.label();
  }

  /** Shows these columns: the times first. */
  show(data) {
    this.data = data;
    this.plot?.setData(data);
    this.label();
  }

  resize() {
    const width = this.surface.clientWidth;
    if (this.plot && width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: this.plot.height });
  }

  /** Says the values under the cursor, or the newest. */
  label() {
    const at = this.plot?.cursor.idx ?? this.data[0].length - 1;
    this.values.forEach((element, series) => {
      const value = this.data[series + 1][at];
      say(element, value == null ? "–" : this.tell(value));
    });
  }
}

/** The event loop as water under the sky: flat while it is on time. Heights are logarithmic. */
export class Water {
  constructor(surface) {
    this.surface = surface;
    this.data = [[], [], []];
  }

  draw() {
    this.plot?.destroy();
    this.surface.replaceChildren();
    const level = (ms) => (ms == null ? null : Math.log10(1 + ms));
    this.level = level;
    this.plot = new uPlot({
      width: Math.max(this.surface.clientWidth, 120),
      height: 64,
      padding: [0, 0, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { time: false, range: () => range(this.data[0], 1) },
        y: { range: [-0.8, 2.6] },
      },
      axes: [{ show: false }, { show: false }],
      series: [{},
        { stroke: colour("water"), width: 1.5, fill: colour("water-wash"), fillTo: -0.8, points: { show: false }, paths: uPlot.paths.spline() },
        { stroke: colour("muted"), width: 1, dash: [2, 4], points: { show: false }, paths: uPlot.paths.spline() },
      ],
    }, this.levels(), this.surface);
  }

  levels() {
    const [at, ...columns] = this.data;
    return [at, ...columns.map((column) => column.map(this.level))];
  }

  show(data) {
    this.data = data;
    this.plot?.setData(this.levels());
  }

  resize() {
    const width = this.surface.clientWidth;
    if (this.plot && width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: this.plot.height });
  }
}

/** A line of the last minute, without axes, in a cell of a table. */
export function spark(canvas, values) {
  const [width, height, span] = [72, 18, 60];
  const context = sharp(canvas, width, height);
  const shown = values.slice(-span);
  const most = Math.max(...shown.map((value) => value ?? 0), 1e-9);
  const x = (at) => width - 1 - ((shown.length - 1 - at) / (span - 1)) * (width - 2);
  const y = (value) => height - 2 - (most > 1e-6 ? (value ?? 0) / most : 0) * (height - 5);
  context.beginPath();
  shown.forEach((value, at) => context.lineTo(x(at), y(value)));
  context.strokeStyle = colour("water");
  context.lineWidth = 1.25;
  context.stroke();
}
