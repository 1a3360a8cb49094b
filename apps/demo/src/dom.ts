// Elements, made and found in few words.

type Child = Node | string | null | undefined | false;

/** An element with attributes and children; `true` is an attribute without a value, `false` and `undefined` are none. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K, attributes: Record<string, string | boolean | undefined> = {}, ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child): child is Node | string => child !== null && child !== undefined && child !== false));
  return element;
}

/** The element of this id, which the page has. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no element ${id}`);
  return element as T;
}

/** Sets a text, if it is another: what a screen reader follows should not be disturbed. */
export function say(element: Element, text: string) {
  if (element.textContent !== text) element.textContent = text;
}

/** A button that opens files, and can be reached by keyboard. */
export function fileButton(id: string, text: string, accept: string, take: (files: File[]) => void, multiple = false): HTMLElement {
  const input = h("input", { type: "file", id, "data-testid": id, accept: accept || undefined, multiple });
  input.addEventListener("change", () => {
    take([...(input.files ?? [])]);
    input.value = ""; // the same file can be chosen again
  });
  return h("label", { class: "button quiet" }, text, input);
}

export function button(id: string, text: string, act: () => void, look = "quiet"): HTMLButtonElement {
  const made = h("button", { type: "button", id, "data-testid": id, class: look }, text);
  made.addEventListener("click", act);
  return made;
}

/** A drawing of lines, 16 units wide; the paths have classes. */
export function lineDrawing(paths: Record<string, string>): SVGElement {
  const make = (tag: string) => document.createElementNS("http://www.w3.org/2000/svg", tag);
  const drawing = make("svg");
  drawing.setAttribute("viewBox", "0 0 16 16");
  drawing.setAttribute("aria-hidden", "true");
  for (const [name, line] of Object.entries(paths)) {
    const path = drawing.appendChild(make("path"));
    path.setAttribute("class", name);
    path.setAttribute("d", line);
  }
  return drawing as SVGElement;
}

/** Makes a canvas as sharp as the screen and empties it; gives its context, in CSS pixels. */
export function sharp(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const [wide, high] = [Math.max(Math.round(width * ratio), 1), Math.max(Math.round(height * ratio), 1)];
  if (canvas.width !== wide) canvas.width = wide;
  if (canvas.height !== high) canvas.height = high;
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this webview has no canvas");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** Draws with the next frame, however often it is asked to. */
export function onceAFrame(draw: () => void): () => void {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}

/** A colour of the style sheet. */
export const colour = (name: string, element: Element = document.documentElement) =>
  getComputedStyle(element).getPropertyValue(`--${name}`).trim();

/** What is to be drawn again in other colours. */
export function onColours(draw: () => void) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

/** Until the next frame: work in pieces lets the window be drawn in between. */
export const nextFrame = () => new Promise<number>((done) => requestAnimationFrame(done));
