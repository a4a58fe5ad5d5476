import { setFlagsFromString } from 'node:v8';

/**
 * Has V8 weigh the buffers of bodies on their way with the rest of the memory. By default it looks
 * through the whole heap after every 50 MB or so of them, however briefly each lives, which took a
 * third of the time of large uploads; see docs/PERFORMANCE.md.
 */
export function countExternalMemoryInHeapLimit(): void {
  setFlagsFromString('--external-memory-accounted-in-global-limit');
}
