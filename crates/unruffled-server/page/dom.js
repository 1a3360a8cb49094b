// The little that is needed of the document.

/** The element of this id. */
export const $ = (id) => document.getElementById(id);

/** A new element: `h("p", { class: "note" }, "text", child)`. Functions are listeners, `true` is an empty attribute. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child != null));
  return element;
}

/** Sets a text, and touches the document only if it is another. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Puts rows in order, made by `make` once per key and brought up to date by `update`. */
export function rows(parent, items, key, make, update) {
  const known = new Map();
  for (const row of [...parent.children]) {
    // Two of one key, as requests of one name may be: the second is made anew.
    if (known.has(row.dataset.key)) row.remove();
    else known.set(row.dataset.key, row);
  }
  items.forEach((item, at) => {
    const name = key(item);
    let row = known.get(name);
    known.delete(name);
    if (!row) {
      row = make(item);
      row.dataset.key = name;
    }
    if (parent.children[at] !== row) parent.insertBefore(row, parent.children[at] ?? null);
    update(row, item);
  });
  known.forEach((row) => row.remove());
}

/** A colour of the style sheet as it is now. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** A canvas as sharp as the screen, and its context in CSS pixels. */
export function sharp(canvas, width, height) {
  const scale = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}
