/** Imported before a replica of a test: on SIGUSR2 it collects its garbage and tells its heap. */
process.on('SIGUSR2', () => {
  globalThis.gc?.();
  const megabytes = process.memoryUsage().heapUsed / 1024 / 1024;
  process.stdout.write(`heap after collection: ${megabytes.toFixed(2)} MiB\n`);
});
