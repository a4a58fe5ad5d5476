/** Health check of a container: `node deploy/check-ready.mjs http://127.0.0.1:8081/readyz`. */
const [url] = process.argv.slice(2);
const ready = await fetch(url, { signal: AbortSignal.timeout(3_000) }).then(
  (answer) => answer.ok,
  () => false,
);
process.exit(ready ? 0 : 1);
