import { defineConfig } from "vite";

export default defineConfig({
    build: {
        // Whoever bundles it makes of it what older web views understand.
        target: "es2022",
        lib: { entry: "src/index.ts", formats: ["es"], fileName: () => "index.js" },
        outDir: "dist-js",
        minify: false,
        rolldownOptions: { external: /^@tauri-apps\/api\// },
    },
});
