/** Preloaded into a replica of a test: on SIGUSR2 it collects garbage and prints its heap size. */
process.on('SIGUSR2', () => {
  globalThis.gc?.();
  const megabytes = process.memoryUsage().heapUsed / 1024 / 1024;
  process.stdout.write(`heap after collection: ${megabytes.toFixed(2)} MiB\n`);
});
