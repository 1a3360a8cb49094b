// Light, dark, or as the system has it; remembered in this browser. Not a module: it runs before anything is drawn.
"use strict";
{
  const NEXT = { automatic: "light", light: "dark", dark: "automatic" };
  const root = document.documentElement;

  const remembered = () => {
    try {
      return localStorage.getItem("unruffled-colours");
    } catch {
      return null; // storage is switched off
    }
  };

  const apply = (choice) => {
    if (choice === "automatic") delete root.dataset.theme;
    else root.dataset.theme = choice;
    const button = document.getElementById("theme");
    if (button) {
      button.textContent = choice;
      button.setAttribute("aria-label", `Colours: ${choice}`);
    }
    window.dispatchEvent(new Event("colours"));
  };

  let choice = NEXT[remembered()] ? remembered() : "automatic";
  apply(choice);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => apply(choice));
  document.addEventListener("DOMContentLoaded", () => {
    apply(choice);
    document.getElementById("theme").addEventListener("click", () => {
      choice = NEXT[choice];
      try {
        localStorage.setItem("unruffled-colours", choice);
      } catch {
        // it lasts as long as the page
      }
      apply(choice);
    });
  });
}
