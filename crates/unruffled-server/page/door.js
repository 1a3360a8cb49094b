// The door: asks for a key where the server does, and lets go of it.

import { $, say } from "./dom.js";
import { ask, forgetKey, hasKey, takeKey } from "./key.js";

/** Begins where one can be let in, and again whenever somebody is; `leave` is called when the key counts no longer. */
export class Door {
  constructor({ enter, leave }) {
    Object.assign(this, { enter, leave });
    $("door").addEventListener("submit", (event) => this.knock(event));
    $("key").addEventListener("input", () => say($("key-told"), ""));
    $("forget").addEventListener("click", () => this.forget());
    window.addEventListener("locked", ({ detail }) => this.lock(detail));
  }

  /** Goes in, if nobody asks for a key or it is known already. */
  async open() {
    try {
      // Whoever has a key of this server may ask for this.
      await ask("v2");
    } catch (error) {
      if (error.status === 401) return;
      // It cannot be reached: what follows says so, and tries again.
    }
    this.unlock();
  }

  async knock(event) {
    event.preventDefault();
    const field = $("key");
    try {
      takeKey(field.value, $("key-in-tab").checked);
    } catch (error) {
      this.tell(error.message);
      return;
    }
    say($("key-told"), "Asking");
    await this.open();
  }

  unlock() {
    if (this.isIn) return;
    this.isIn = true;
    $("key").value = "";
    $("door").hidden = true;
    $("forget").hidden = !hasKey();
    for (const part of document.querySelectorAll("[data-inside]")) part.hidden = false;
    this.enter();
  }

  /** Shows the form; what was there for the last key goes. */
  lock(told) {
    const wrong = hasKey();
    // Said already, of a request that was sent beside the first.
    if (!wrong && !$("door").hidden) return;
    forgetKey();
    this.isIn = false;
    this.leave();
    for (const part of document.querySelectorAll("[data-inside]")) part.hidden = true;
    $("forget").hidden = true;
    $("door").hidden = false;
    // Who has not tried yet is told by the form itself.
    this.tell(wrong ? `This key opens nothing here: ${told}.` : "");
    $("key").focus();
  }

  tell(text) {
    say($("key-told"), text);
    $("key").setAttribute("aria-invalid", text ? "true" : "false");
    if (text) $("key").select();
  }

  /** Begins anew, as if nobody had been here. */
  forget() {
    forgetKey();
    this.leave();
    history.replaceState(null, "", location.pathname);
    location.reload();
  }
}
