import { readFile } from 'node:fs/promises';
import type { Template } from '@ephemera/domain';
import { ContainerStartError } from '@ephemera/lifecycle';
import type Docker from 'dockerode';
import type { HostConfig } from 'dockerode';
import { DEFAULT_TIMEOUT_MS, withDeadline } from './deadline.ts';

/** The part of `docker info` that templates depend on. */
interface DaemonInfo {
  readonly Runtimes?: Readonly<Record<string, unknown>>;
  readonly SecurityOptions?: readonly string[];
}

const NO_NEW_PRIVILEGES = 'no-new-privileges:true';

/**
 * The runtime, profiles and user namespace of a template. `docker info` is checked first, because a
 * daemon without AppArmor silently ignores a profile.
 * @throws ContainerStartError with every option that this host does not support
 */
export async function isolationOptions(docker: Docker, template: Template): Promise<HostConfig> {
  const { runtime, seccomp, apparmor, userns } = template;
  const isDefault = [runtime, seccomp, apparmor, userns].every((item) => item === undefined);
  if (isDefault) return { SecurityOpt: [NO_NEW_PRIVILEGES] };
  const info = (await withDeadline('info', DEFAULT_TIMEOUT_MS, docker.info())) as DaemonInfo;
  const has = (name: string) =>
    (info.SecurityOptions ?? []).some((text) => text.split(',')[0] === `name=${name}`);
  const profile = await readProfile(seccomp);
  const faults = [
    runtime !== undefined && !(runtime in (info.Runtimes ?? {})) && noRuntime(runtime, info),
    seccomp !== undefined && !has('seccomp') && 'the daemon has no seccomp',
    seccomp !== undefined &&
      profile === undefined &&
      `${seccomp} is not a readable seccomp profile`,
    apparmor !== undefined && !has('apparmor') && 'the daemon has no AppArmor',
    userns === 'remapped' && !has('userns') && 'the daemon does not map users (userns-remap)',
  ].filter((fault) => fault !== false);
  if (faults.length > 0)
    throw new ContainerStartError(`This host refuses the template: ${faults.join('; ')}.`);
  return {
    ...(runtime !== undefined && { Runtime: runtime }),
    ...(userns === 'host' && { UsernsMode: 'host' }),
    SecurityOpt: [
      NO_NEW_PRIVILEGES,
      ...(profile === undefined ? [] : [`seccomp=${profile}`]),
      ...(apparmor === undefined ? [] : [`apparmor=${apparmor}`]),
    ],
  };
}

function noRuntime(runtime: string, { Runtimes = {} }: DaemonInfo): string {
  return `the daemon has no runtime "${runtime}"; available runtimes: ${Object.keys(Runtimes).join(', ')}`;
}

/** Reads a profile in the form of the Docker API. Undefined if it is not readable JSON. */
async function readProfile(seccomp: string | undefined): Promise<string | undefined> {
  if (seccomp === undefined || seccomp === 'unconfined') return seccomp;
  try {
    return JSON.stringify(JSON.parse(await readFile(seccomp, 'utf8')));
  } catch {
    return undefined;
  }
}
