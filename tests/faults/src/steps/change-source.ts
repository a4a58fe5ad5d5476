/**
 * Imported before a process of a test: watches the product's ports while its source is loaded, so
 * that the process strikes itself where its own address says, and takes guards away.
 */
import { writeSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { runJobsTwice } from './run-jobs-twice.ts';
import { withoutGuards } from './guards.ts';
import { watched } from './ports.ts';
import { type FaultInjection, markOf, readInjectedFaults } from './fault-injection.ts';

const { faults = [], without = [], twice } = readInjectedFaults(import.meta.url);
const waiting = [...faults];
let calls = 0;

/** Nothing of this process runs any more when it returns, or runs again once it was continued. */
function injectFault(by: FaultInjection): void {
  waiting.shift();
  calls = 0;
  writeSync(2, `\n${markOf(by)}\n`);
  process.kill(process.pid, by.signal);
}

/** Makes a call, and strikes before it, during it or after it where it is that call's turn. */
function call(name: string, make: () => unknown): unknown {
  const next = waiting[0];
  if (next?.call !== name || ++calls !== next.nth) return make();
  if (next.moment === 'before') injectFault(next);
  const answer = make();
  if (next.moment === 'before') return answer;
  const settled = Promise.resolve(answer);
  if (next.moment === 'after') return settled.finally(() => injectFault(next));
  const timer = setTimeout(() => injectFault(next), next.delay);
  return settled.finally(() => {
    if (waiting[0] !== next) return;
    clearTimeout(timer);
    injectFault(next);
  });
}

/** The same object with its calls, and those of the objects that it holds, by name. */
function factory(port: string, make: () => object): object {
  return named(port, make());
}

function named(port: string, object: object): object {
  return new Proxy(object, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property);
      if (typeof property === 'symbol') return value;
      if (property === 'getContainer' && typeof value === 'function') {
        return (...input: unknown[]) =>
          named('container', Reflect.apply(value, target, input) as object);
      }
      if (typeof value === 'function') {
        return (...input: unknown[]) =>
          call(`${port}.${property}`, () => Reflect.apply(value, target, input));
      }
      // The ports that one factory makes together, such as kills and spawns.
      const holdsPorts = port === 'jobs' && typeof value === 'object' && value !== null;
      return holdsPorts ? named(property, value) : value;
    },
  });
}

if (twice) runJobsTwice(twice);
Reflect.set(globalThis, 'struck', { factory, call });

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    if (!url.startsWith('file:') || typeof loaded.source === 'string' || !loaded.source) {
      return loaded;
    }
    const path = new URL(url).pathname;
    const source = new TextDecoder().decode(loaded.source);
    const changed = withoutGuards(path, source, without);
    const seen = watched(path, changed ?? source);
    return changed === undefined && seen === undefined
      ? loaded
      : { ...loaded, source: seen ?? changed ?? source };
  },
});
