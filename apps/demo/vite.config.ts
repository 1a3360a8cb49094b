import { defineConfig } from "vite";

// Relative addresses: the files are served by the app itself, from wherever it holds them.
export default defineConfig({
  base: "./",
  clearScreen: false,
  // The package of the plugin is a folder here, with dependencies of its own or without: one copy, the app's, is enough.
  resolve: { dedupe: ["@tauri-apps/api"] },
  server: { port: 1420, strictPort: true },
  build: {
    target: "safari15",
    assetsInlineLimit: 0, // a strict content security policy takes no data: scripts
    modulePreload: { polyfill: false },
  },
});
