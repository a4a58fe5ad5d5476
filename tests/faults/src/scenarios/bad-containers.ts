import { print, waitFor } from '@ephemera/test-support';
import { type Testbed, startTestbed } from '../testbed.ts';
import type { Options } from '../options.ts';
import { create } from '../load/clients.ts';

interface BadContainer {
  /** Command for `sh -c` in the container; by default the demo server. */
  readonly command?: string;
  /** Arguments of the `docker` command that is run once the instance is ready. */
  readonly then?: readonly string[];
  /** Allowed reasons of its end. */
  readonly ends: readonly string[];
}

const BAD: Readonly<Record<string, BadContainer>> = {
  'exits-at-once': { command: 'exit 7', ends: ['start_failed'] },
  'exits-later': { command: '/bin/serve & sleep 12; exit 5', ends: ['exited'] },
  'exits-soon': { command: '/bin/serve & sleep 2; exit 5', ends: ['start_failed'] },
  'never-ready': { command: 'sleep 600', ends: ['start_failed'] },
  'ignores-sigterm': {
    command: 'trap "" TERM; /bin/serve & while true; do sleep 1; done',
    ends: ['ttl'],
  },
  'out-of-memory': {
    command: '/bin/serve & sleep 4; exec tail /dev/zero',
    ends: ['oom', 'start_failed'],
  },
  'fork-bomb': {
    command: '/bin/serve & sleep 2; bomb() { bomb | bomb & }; bomb; sleep 600',
    ends: ['ttl', 'exited', 'start_failed'],
  },
  'answers-then-hangs': {
    command: '/bin/serve & served=$!; sleep 4; kill -STOP $served; sleep 600',
    ends: ['ttl'],
  },
  'paused-from-outside': { then: ['pause'], ends: ['ttl'] },
  'killed-from-outside': { then: ['kill'], ends: ['exited', 'start_failed'] },
  'removed-by-hand': { then: ['rm', '-f'], ends: ['exited'] },
};

/** Containers that misbehave. Each must end with a correct reason and leave nothing behind. */
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
      const expected = ended.every((reason) => bad.ends.includes(reason));
      print(`${expected ? '' : 'BROKEN '}${name}: ${ended.join(', ')}`);
      held &&= expected;
    }
    // These instances end before their deadline by design.
    for (const id of testbed.expectations.promised.keys()) testbed.expectations.damaged.add(id);
    const { broken } = await testbed.recovered();
    const violations = broken.filter(
      ({ invariant }) => invariant !== 'no acknowledged creation lost',
    );
    for (const { invariant, what } of violations) print(`BROKEN ${invariant}: ${what}`);
    return held && violations.length === 0;
  } finally {
    await testbed.stop();
  }
}

/** Runs one bad container until it ends, and returns its reason. */
async function oneOf(
  testbed: Testbed,
  name: string,
  { then, ends }: BadContainer,
): Promise<string> {
  // A container that exits without a kill gets a later deadline.
  const id = (await create(testbed, name, ends.includes('ttl') ? 12 : 120)) ?? '';
  const readInstance = async () =>
    (await (await testbed.site.api('GET', `/v1/instances/${id}`)).json()) as {
      status: { state: string; reason?: string };
    };
  if (then) {
    await waitFor(
      'the ready state',
      async () => (await readInstance()).status.state === 'ready',
      120_000,
    );
    const containers = await testbed.daemon.containers();
    const mine = containers.find(({ Labels }) => Labels['ephemera.instance'] === id);
    if (mine) await testbed.daemon.command(...then, mine.Id);
  }
  return waitFor(
    `the end of ${name}`,
    async () => {
      const { state, reason } = (await readInstance()).status;
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
    secret: shared-webhook-test-secret
    events: [ready, gone]
`;
}
