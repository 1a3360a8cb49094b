// A place to drop a file.

import { h, say } from "./dom.js";
import { bytes } from "./tell.js";

export class Drop {
  /** Calls `take` with each file. `what` it is for, and what the chooser is to offer. */
  constructor(what, accept, take) {
    this.takes = take;
    this.file = h("input", { type: "file", id: "try-file", accept, change: () => this.take(this.file.files[0]) });
    this.said = h("span", {}, `Drop ${what} here, or choose one`);
    this.element = h("label", {
      class: "drop", for: "try-file",
      dragover: (event) => this.over(event, true), dragleave: (event) => this.over(event, false),
      drop: (event) => {
        this.over(event, false);
        this.take(event.dataTransfer.files[0]);
      },
    }, this.file, this.said);
  }

  over(event, is) {
    event.preventDefault();
    this.element.classList.toggle("over", is);
  }

  take(file) {
    if (!file) return;
    say(this.said, `${file.name}, ${bytes(file.size)}`);
    this.element.classList.add("taken");
    this.takes(file);
    // The same file once more is a change, too.
    this.file.value = "";
  }
}
