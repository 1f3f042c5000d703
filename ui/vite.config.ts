// How the console is built: into the Python package, with addresses that are relative, so that a path prefix is no matter.
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [svelte()],
  base: "./",
  build: {
    outDir: "../src/binp/console",
    emptyOutDir: true,
    target: "es2022",
    // the content security policy allows no data: address but for pictures
    assetsInlineLimit: 0,
    // five small requests less for five kilobytes
    cssCodeSplit: false,
    modulePreload: { polyfill: false },
    license: { fileName: "THIRD_PARTY_LICENSES.md" },
  },
  // `npm run dev` on 5000 is one of the origins that `binp run` with dev = true lets in
  server: { port: 5000, proxy: { "/internal": "http://127.0.0.1:8000" } },
});
