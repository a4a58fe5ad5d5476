import { setFlagsFromString } from 'node:v8';

/**
 * Counts the memory of buffers against the heap limit, like all other memory. By default V8 collects
 * the whole heap after every 50 MB of new buffers, however short their life: a third of the CPU time
 * of large uploads. See docs/PERFORMANCE.md.
 */
export function countExternalMemoryInHeapLimit(): void {
  setFlagsFromString('--external-memory-accounted-in-global-limit');
}
