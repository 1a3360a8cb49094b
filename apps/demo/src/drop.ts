// Files that are dropped on the window go to the panel under them.

import { getCurrentWebview } from "@tauri-apps/api/webview";

import { ofFile, ofPath, type Source } from "./source.ts";

export interface Target {
  element: HTMLElement;
  take(sources: Source[]): void;
}

/** `fallback` takes what is dropped beside all of them. */
export function followDrops(targets: Target[], fallback: Target): void {
  const under = (x: number, y: number) => {
    const element = document.elementFromPoint(x, y);
    return targets.find((target) => target.element.contains(element)) ?? fallback;
  };
  const mark = (marked: Target | null) => {
    for (const { element } of targets) element.classList.toggle("over", element === marked?.element);
  };
  const drop = (x: number, y: number, sources: Source[]) => {
    mark(null);
    if (sources.length > 0) under(x, y).take(sources);
  };

  // Tauri takes the drops of a window and gives paths.
  const scale = () => window.devicePixelRatio || 1;
  const hear = async () => getCurrentWebview().onDragDropEvent(({ payload }) => {
    if (payload.type === "leave") return mark(null);
    const [x, y] = [payload.position.x / scale(), payload.position.y / scale()];
    if (payload.type === "drop") drop(x, y, payload.paths.map(ofPath));
    else mark(under(x, y));
  });
  hear().catch((error: unknown) => console.warn("drops by path are not heard of:", error));

  // Where it does not, the page gets files; and nothing that is dropped ever takes the place of the page.
  const isFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
  window.addEventListener("dragover", (event) => {
    if (!isFiles(event)) return;
    event.preventDefault();
    mark(under(event.clientX, event.clientY));
  });
  window.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) mark(null);
  });
  window.addEventListener("drop", (event) => {
    if (!isFiles(event)) return;
    event.preventDefault();
    drop(event.clientX, event.clientY, [...(event.dataTransfer?.files ?? [])].map(ofFile));
  });
}
