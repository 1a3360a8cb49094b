// The one dialog: a story, a job, a text that the server tells.

import { $, h, say } from "./dom.js";

/** Opens it, and fills it with what `make` gives in the end: elements, in a list. */
export async function show(title, make) {
  const dialog = $("story");
  say($("story-title"), title);
  $("story-body").replaceChildren(h("p", { class: "note" }, "Asking"));
  if (!dialog.open) dialog.showModal();
  try {
    $("story-body").replaceChildren(...await make());
  } catch (error) {
    $("story-body").replaceChildren(h("p", { class: "bad" }, error.message));
  }
}

/** Facts by name; those that are nothing are left out. */
export const facts = (...pairs) => h("dl", { class: "facts" }, pairs.filter(([, value]) => value)
  .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));

export const close = () => $("story").close();

$("story-close").addEventListener("click", close);
$("story").addEventListener("click", (event) => {
  if (event.target === $("story")) close();
});
