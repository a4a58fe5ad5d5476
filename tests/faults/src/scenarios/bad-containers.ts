import { print, waitFor } from '@ephemera/test-support';
import { type Testbed, startTestbed } from '../testbed.ts';
import type { Options } from '../options.ts';
import { create } from '../load/clients.ts';

interface BadContainer {
  /** What runs in it, after `sh -c`; the demo where absent. */
  readonly command?: string;
  /** What is done to it once it serves, as behind `docker`. */
  readonly then?: readonly string[];
  /** How it may end: its reason, with the words of its message where they matter. */
  readonly ends: readonly string[];
}

const BAD: Readonly<Record<string, BadContainer>> = {
  'exits-at-once': { command: 'exit 7', ends: ['start_failed'] },
  'exits-later': { command: '/bin/serve & sleep 4; exit 5', ends: ['exited'] },
  'never-ready': { command: 'sleep 600', ends: ['start_failed'] },
  'ignores-sigterm': {
    command: 'trap "" TERM; /bin/serve & while true; do sleep 1; done',
    ends: ['ttl'],
  },
  'out-of-memory': { command: '/bin/serve & sleep 4; exec tail /dev/zero', ends: ['oom'] },
  'fork-bomb': {
    command: '/bin/serve & sleep 2; bomb() { bomb | bomb & }; bomb; sleep 600',
    ends: ['ttl', 'exited'],
  },
  'answers-then-hangs': {
    command: '/bin/serve & served=$!; sleep 4; kill -STOP $served; sleep 600',
    ends: ['ttl'],
  },
  'paused-from-outside': { then: ['pause'], ends: ['ttl'] },
  'killed-from-outside': { then: ['kill'], ends: ['exited'] },
  'removed-by-hand': { then: ['rm', '-f'], ends: ['exited'] },
};

/** Containers that misbehave: each ends, for the reason that is true, and leaves nothing behind. */
export async function badContainers({ seed, runs = 3 }: Options): Promise<boolean> {
  let held = true;
  const testbed = await startTestbed({
    seed,
    workers: 1,
    templates,
    work: () => ({ pause: () => Promise.resolve(), resume: () => undefined }),
  });
  try {
    for (const [name, bad] of Object.entries(BAD)) {
      const ended = await Promise.all(
        Array.from({ length: runs }, () => oneOf(testbed, name, bad)),
      );
      const fair = ended.every((reason) => bad.ends.includes(reason));
      print(`${fair ? '' : 'BROKEN '}${name}: ${ended.join(', ')}`);
      held &&= fair;
    }
    // Ends before their time are what this is about.
    for (const id of testbed.expectations.promised.keys()) testbed.expectations.damaged.add(id);
    const { broken } = await testbed.recovered();
    const strange = broken.filter(({ invariant }) => invariant !== 'no acknowledged creation lost');
    for (const { invariant, what } of strange) print(`BROKEN ${invariant}: ${what}`);
    return held && strange.length === 0;
  } finally {
    await testbed.stop();
  }
}

/** Has one live and end; gives its reason. */
async function oneOf(
  testbed: Testbed,
  name: string,
  { then, ends }: BadContainer,
): Promise<string> {
  // One that is to end by itself is given the time for it.
  const id = (await create(testbed, name, ends.includes('ttl') ? 12 : 120)) ?? '';
  const look = async () =>
    (await (await testbed.site.api('GET', `/v1/instances/${id}`)).json()) as {
      status: { state: string; reason?: string };
    };
  if (then) {
    await waitFor('it serves', async () => (await look()).status.state === 'ready', 120_000);
    const containers = await testbed.daemon.containers();
    const mine = containers.find(({ Labels }) => Labels['ephemera.instance'] === id);
    if (mine) await testbed.daemon.command(...then, mine.Id);
  }
  return waitFor(
    `the end of ${name}`,
    async () => {
      const { state, reason } = (await look()).status;
      return (state === 'gone' || state === 'failed') && (reason ?? 'no reason');
    },
    240_000,
  );
}

function templates(receiverPort: number): string {
  const all = Object.entries(BAD).map(([name, { command }]) => {
    const within = name === 'never-ready' ? '6s' : '2m';
    return `
  ${name}:
    image: ephemera/demo
    port: 8080
    timeout: 12s
    maxTimeout: 10m
    stopGrace: 1s
    ready: { http: /id, within: ${within} }
    limits: { memory: 32m, cpus: 0.5, pids: 32 }
    readOnly: true
    tmpfs: { /tmp: 8m }
    ${command === undefined ? '' : `command: ${JSON.stringify(['/bin/sh', '-c', command])}`}`;
  });
  return `
default: exits-later
templates:${all.join('')}
webhooks:
  - name: books
    url: http://127.0.0.1:${receiverPort}/
    secret: known to the two of us alone
    events: [ready, gone]
`;
}
