import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, realpathSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { BootError } from '@ephemera/domain';

import { workspace } from '../config.ts';
import type { Config } from '../config.ts';
import type { Reporter } from '../terminal/reporter.ts';
import { buildImages } from './build-demo-image.ts';
import { findProgram } from './find-program.ts';

const image = 'ephemera/firewall:local';

/** What the scripts of the worker run. */
const required = ['sh', 'cat', 'grep', 'id', 'iptables', 'iptables-restore'];
/** Both backends, because only the daemon's one has an effect. */
const optional = ['iptables', 'ip6tables'].flatMap((name) =>
  ['', '-nft', '-legacy'].flatMap((kind) => [`${name}${kind}`, `${name}${kind}-restore`]),
);

/**
 * The settings of a worker that cannot set the firewall rules itself, because its user is not root:
 * `EPHEMERA_FIREWALL_IMAGE` is built from the programs of this machine. A user who may use the Docker
 * socket may run such a container, and has the rights of root on the machine anyway.
 *
 * @param environment of the build, including DOCKER_HOST
 * @returns nothing for root, or where the environment decides already. If the image cannot be built,
 * nothing after a warning: only trusted templates start then
 */
export async function firewallSettings(
  report: Reporter,
  { stateFolder }: Pick<Config, 'stateFolder'>,
  { environment, stop }: { readonly environment: NodeJS.ProcessEnv; readonly stop?: AbortSignal },
): Promise<NodeJS.ProcessEnv> {
  const { EPHEMERA_FIREWALL: mode, EPHEMERA_FIREWALL_IMAGE: configured } = environment;
  if (process.getuid?.() === 0 || mode === 'off' || configured) return {};
  try {
    await report.step('Firewall image', async (onProgress) => {
      const context = join(stateFolder, 'firewall-image');
      copyPrograms(join(context, 'root'));
      copyFileSync(
        join(workspace, 'apps/cli/firewall-image/Dockerfile'),
        join(context, 'Dockerfile'),
      );
      const args = ['--context', context, '--tag', image];
      await buildImages(args, { environment, ...(stop && { stop }) }, onProgress);
      onProgress(`${image}, because this user is not root`);
    });
  } catch (error) {
    stop?.throwIfAborted();
    report.warn(
      `This user is not root, and the image that sets firewall rules was not built: ${(error as Error).message}\n` +
        '    Only templates with `trusted: true` start. Run as root, or set EPHEMERA_FIREWALL_IMAGE to an image with iptables.',
    );
    return {};
  }
  return { EPHEMERA_FIREWALL_IMAGE: image };
}

/**
 * Copies the programs into the root of an image, with the libraries that they load.
 * @throws BootError if one is not on this machine
 */
function copyPrograms(root: string): void {
  rmSync(root, { recursive: true, force: true });
  mkdirSync(join(root, 'bin'), { recursive: true });
  const libraries = new Set<string>();
  for (const name of new Set([...required, ...optional])) {
    const program = findProgram(name);
    if (program === undefined) {
      if (!required.includes(name)) continue;
      throw new BootError(`the program ${name} is not on this machine`);
    }
    // iptables decides by its name what it does, so each name is a copy.
    copyFileSync(realpathSync(program), join(root, 'bin', name));
    for (const file of librariesOf(program)) libraries.add(file);
  }
  const main = [...libraries].find((file) => basename(file).startsWith('libxtables.so'));
  const extensions = main && join(dirname(realpathSync(main)), 'xtables');
  if (extensions === undefined || !existsSync(extensions)) {
    throw new BootError('the extensions of iptables (xtables) are not on this machine');
  }
  cpSync(extensions, join(root, 'xtables'), { recursive: true, dereference: true });
  for (const file of libraries) {
    mkdirSync(join(root, dirname(file)), { recursive: true });
    copyFileSync(realpathSync(file), join(root, file));
  }
}

/** The paths of the loader and of the shared libraries of a program. None for a static one. */
function librariesOf(program: string): string[] {
  let printed: string;
  try {
    printed = execFileSync('ldd', [realpathSync(program)], { encoding: 'utf8', stdio: 'pipe' });
  } catch {
    return [];
  }
  return Array.from(printed.matchAll(/^\s*(?:\S+ => )?(\/\S+) \(/gm), ([, path = '']) => path);
}
