/** `npm run cluster` starts a deployment over several machines, simulated on this one. */
import { join } from 'node:path';
import { exitWithUsage, prepareMachine, readCommandLine } from '@ephemera/test-support';
import { startCluster } from './cluster.ts';
import type { Cluster } from './cluster.ts';
import { lanExists, removeLan } from './lan.ts';

const { values } = readCommandLine({
  command: 'npm run cluster --',
  summary:
    'Starts a proxy, Redis and Docker hosts on simulated machines: network namespaces of this one, which needs Linux and root. Ctrl-C removes everything.',
  options: {
    hosts: { kind: 'number', default: 2, help: 'Number of Docker hosts, from 1 to 20.' },
    reach: {
      kind: 'choice',
      of: ['published', 'routed'],
      help: 'How the proxy reaches instances. Default: published.',
    },
    config: { kind: 'text', help: 'Path of the configuration file. Default: ephemera.yml.' },
    name: { kind: 'text', help: 'Name of the cluster, if there are several. Default: cluster.' },
    down: { kind: 'flag', help: 'Removes what a killed command has left, and exits.' },
  },
});
const { hosts, reach = 'published', name = 'cluster', down } = values;
if (!Number.isInteger(hosts) || hosts < 1 || hosts > 20) {
  exitWithUsage('--hosts must be a whole number from 1 to 20.');
}
if (!/^[a-z][a-z0-9-]{0,29}$/.test(name)) {
  exitWithUsage('--name must be lowercase letters, digits and hyphens, at most 30.');
}
if (process.getuid?.() !== 0) {
  process.stderr.write('This command creates network namespaces, which only root may do.\n');
  process.exit(1);
}

if (down) {
  const existed = await lanExists(name);
  await removeLan(name);
  process.stdout.write(
    existed ? `The cluster ${name} is removed.\n` : `There is no cluster ${name}.\n`,
  );
  process.exit(0);
}

const stopped = Promise.withResolvers<NodeJS.Signals>();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => stopped.resolve(signal));
}

prepareMachine();
const print = (text: string) => process.stdout.write(`${text}\n`);
try {
  const starting = startCluster({
    ...{ name, hosts, reach: reach === 'routed' ? reach : 'published' },
    config: values.config ?? join(import.meta.dirname, '../../../../ephemera.yml'),
    images: ['ephemera/demo'],
    onProgress: (text) => print(`Starting ${text}…`),
  });
  const first = await Promise.race([starting, stopped.promise]);
  if (typeof first !== 'string') {
    print(description(first));
    await stopped.promise;
  }
  print('\nRemoving the machines…');
  // A signal during the start takes effect once everything that was begun can be stopped.
  await (await starting).stop();
  print('Everything is removed.');
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}

function description(cluster: Cluster): string {
  const { publicUrl, adminUrl, token, redisUrl, hosts: all, front, outside } = cluster;
  const rows = all.map(
    ({ machine, engine }) =>
      `  ${machine.name.padEnd(6)} ${machine.address}  docker -H ${engine.dockerHost} ps`,
  );
  return `
The cluster is ready. This machine is ${outside} on its network.

  new instance  ${publicUrl}/demo/new
  control API   ${adminUrl}/docs
  Redis         ${redisUrl}

  front  ${front.address}  proxy and Redis
${rows.join('\n')}

List the hosts:
  EPHEMERA_ADMIN_URL=${adminUrl} EPHEMERA_ADMIN_TOKEN=${token} npx ephemera host ls

The ports of instances refuse this machine, because it is not in EPHEMERA_PROXIES.
Press Ctrl-C to stop.`;
}
