/**
 * Removes a deployment from a Docker daemon: containers, networks, firewall rules. A network that
 * no worker created stays. A running worker would create what it needs again. The namespaces of
 * `ephemera try` belong to the deployment.
 *
 *     node apps/worker/src/remove-all.ts
 *
 * For `npm start`, which removes only what its own start has created:
 *
 *     --snapshot          prints what exists, as JSON
 *     --drain             ends the instances of the start through its running workers
 *     --since             removes the rest once all workers have stopped; prints a `Removal`
 *     --keep              with both: leaves the instances to their deadlines, except unclaimed ones
 *     --quiet MS          with --since: waits until no container has appeared for this long
 *
 * `--drain` and `--since` read the snapshot from standard input.
 */
import { json } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { BootError } from '@ephemera/domain';
import { runMain } from '@ephemera/process';
import {
  connectDocker,
  drainSince,
  hostName,
  NOTHING,
  openRunStore,
  removeSince,
  snapshotSchema,
  takeSnapshot,
  trialNamespaces,
} from '@ephemera/worker';
import type { RunStore } from '@ephemera/worker';
import { readConfig } from './config.ts';

const { values } = parseArgs({
  options: {
    snapshot: { type: 'boolean', default: false },
    drain: { type: 'boolean', default: false },
    since: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    quiet: { type: 'string', default: '0' },
  },
});

await runMain(async () => {
  const config = readConfig();
  const docker = connectDocker(config.dockerHost);
  const host = config.hostId ?? (await hostName(docker));
  if (!values.snapshot && !values.drain && !values.since) {
    const trials = await trialNamespaces(docker, config.namespace);
    for (const namespace of [config.namespace, ...trials]) {
      await removeAll({ docker, config: { ...config, namespace }, host });
    }
    return;
  }

  let storeError: string | undefined;
  const store = await openRunStore(config).catch((error: unknown): RunStore | undefined => {
    if (!(error instanceof BootError)) throw error;
    storeError = error.message;
    return undefined;
  });
  try {
    if (values.snapshot) {
      print(await takeSnapshot(docker, config, store));
      return;
    }
    const before = snapshotSchema.parse(await json(process.stdin));
    const options = { docker, config, host, before, keep: values.keep };
    if (values.drain) {
      if (!store) return;
      const ended = await drainSince({ ...options, store }, (progress) => print({ progress }));
      print({ ended });
      return;
    }
    const removal = await removeSince({ ...options, store }, Number(values.quiet));
    const problems = [...removal.problems];
    if (storeError !== undefined) {
      problems.push(`${storeError}. The next start ends the instances that are recorded in Redis.`);
    }
    print({ ...removal, problems });
  } finally {
    await store?.close();
  }
});

async function removeAll(
  where: Pick<Parameters<typeof removeSince>[0], 'docker' | 'config' | 'host'>,
): Promise<void> {
  const options = { ...where, store: undefined, before: NOTHING, keep: false };
  const { remaining, problems, containers, networks, rules } = await removeSince(options, 0);
  process.stdout.write(
    `Removed: ${containers} containers, networks: ${networks.join(', ') || 'none'}, ` +
      `firewall rules of: ${rules.join(', ') || 'none'}.\n`,
  );
  for (const { name, reason } of remaining.networks) {
    process.stderr.write(`The network ${name} stays: ${reason}.\n`);
  }
  for (const problem of problems) process.stderr.write(`${problem}\n`);
  if (problems.length > 0 || remaining.before.length + remaining.kept.length > 0) {
    process.exitCode = 1;
  }
}

function print(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
