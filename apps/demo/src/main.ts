// The window: four panels, a strip, and what connects them.

import "./style.css";

import { byId, button } from "./dom.ts";
import { followDrops } from "./drop.ts";
import { filesPanel } from "./files.ts";
import { watchFrames } from "./frames.ts";
import { ocrPanel } from "./ocr.ts";
import { searchPanel } from "./search.ts";
import { speechPanel } from "./speech.ts";
import { strip } from "./strip.ts";

// Away from the app, in a browser, something has to answer; not in what is built.
if (import.meta.env.DEV && !("__TAURI_INTERNALS__" in window)) await import("../dev/fake.ts");

watchFrames();
const [files, search, ocr, speech] = [filesPanel(), searchPanel(), ocrPanel(), speechPanel()];
const panels = [files, search, ocr, speech];
byId("panels").append(...panels.map(({ element }) => element));
strip();
followDrops(panels.map(({ element, text }) => ({ element, take: text.take })), { element: files.element, take: files.text.take });

byId("head").append(button("try-all", "Try all four at once", () => {
  for (const { text: { id } } of panels) byId(`${id}-sample`).click();
}, ""));

for (const panel of panels) void panel.wake().catch(() => {}); // it is told in the panel
