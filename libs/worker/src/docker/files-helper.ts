import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import type Docker from 'dockerode';
import { extract, pack } from 'tar-stream';
import { DEFAULT_TIMEOUT_MS } from '../limits.ts';
import { ignoreStatus, withDeadline } from './docker-client.ts';
import { removeAbandoned } from './helper-containers.ts';
import { helperLabels, LABEL } from './labels.ts';

// An image need not have a shell. So a statically linked busybox is offered to containers whose
// template allows commands: read-only, from a volume of the host's daemon.

/** Where the volume is mounted. */
const FOLDER = '/.ephemera';
/** The program for file operations in containers. */
export const FILES_HELPER = `${FOLDER}/busybox`;

const CANDIDATES = ['/bin/busybox', '/usr/bin/busybox'];
const VOLUME_OPTIONS = { NoCopy: true, Labels: {}, DriverConfig: { Name: 'local', Options: {} } };
/** ELF: the type of the program header that names a dynamic loader. */
const PT_INTERP = 3;

/** Offers the program for file operations to containers. */
export interface FilesHelper {
  /**
   * The mount for a container that is about to be created. Undefined: this machine has no static
   * busybox, or the daemon makes no volume.
   * @param image an image that the host has
   */
  mountFor(image: string): Promise<Docker.MountSettings | undefined>;
}

/** @param onError why containers get no helper; called for each container */
export function filesHelper(
  docker: Docker,
  namespace: string,
  onError: (error: unknown) => void,
): FilesHelper {
  let binary: Promise<Buffer | undefined> | undefined;
  let filling: Promise<void> | undefined;
  let isFilled = false;
  return {
    async mountFor(image) {
      try {
        const content = await (binary ??= readBinary());
        if (!content) throw new Error('no statically linked busybox is on this machine');
        // Another program has another volume, so that a volume in use never changes.
        const hash = createHash('sha256').update(content).digest('hex').slice(0, 16);
        const volume = `ephemera-files-${namespace}-${hash}`;
        const seen = docker.getVolume(volume).inspect();
        const found = await ignoreStatus([404], withDeadline('volume', DEFAULT_TIMEOUT_MS, seen));
        // An operator may remove a volume that no container uses.
        if (!found || !isFilled) {
          filling ??= fill(docker, { namespace, volume, image, content }).finally(
            () => (filling = undefined),
          );
          await filling;
          isFilled = true;
        }
        return {
          Type: 'volume',
          Source: volume,
          Target: FOLDER,
          ReadOnly: true,
          VolumeOptions: VOLUME_OPTIONS,
        };
      } catch (error) {
        onError(error);
        return undefined;
      }
    },
  };
}

/** Removes the volumes of a deployment. One in use stays. */
export async function removeHelperVolumes(docker: Docker, namespace: string): Promise<void> {
  const filters = { label: [`${LABEL.namespace}=${namespace}`] };
  const listing = withDeadline('list', DEFAULT_TIMEOUT_MS, docker.listVolumes({ filters }));
  // The daemon says null where it has none.
  const { Volumes: found } = (await listing) as { Volumes: { Name: string }[] | null };
  for (const { Name } of found ?? []) {
    const removal = docker.getVolume(Name).remove();
    await ignoreStatus([404, 409], withDeadline('remove', DEFAULT_TIMEOUT_MS, removal));
  }
}

/** Undefined: none of the candidates is static. */
async function readBinary(): Promise<Buffer | undefined> {
  for (const path of CANDIDATES) {
    const content = await readFile(path).catch(() => undefined);
    if (content && isStaticElf(content)) return content;
  }
  return undefined;
}

/** Whether a 64-bit little-endian ELF file loads no libraries. */
function isStaticElf(content: Buffer): boolean {
  if (content.length < 64 || content.readUInt32BE(0) !== 0x7f454c46) return false;
  const start = Number(content.readBigUInt64LE(32));
  const size = content.readUInt16LE(54);
  const count = content.readUInt16LE(56);
  for (let i = 0; i < count; i++) {
    const at = start + i * size;
    if (at + 4 > content.length || content.readUInt32LE(at) === PT_INTERP) return false;
  }
  return true;
}

/** Creates the volume, and writes the program into it unless it is there. */
async function fill(
  docker: Docker,
  options: {
    readonly namespace: string;
    readonly volume: string;
    readonly image: string;
    readonly content: Buffer;
  },
): Promise<void> {
  const { namespace, volume, image, content } = options;
  // An existing volume is returned.
  const creation = docker.createVolume({ Name: volume, Labels: helperLabels(namespace, 'files') });
  await withDeadline('volume', DEFAULT_TIMEOUT_MS, creation);
  // Docker reaches the files of a volume through a container. This one is never started.
  const making = docker.createContainer({
    Image: image,
    Entrypoint: [FILES_HELPER],
    Labels: helperLabels(namespace, 'files'),
    HostConfig: {
      NetworkMode: 'none',
      // Without `NoCopy`, the daemon fills an empty volume with what the image has there.
      Mounts: [{ Type: 'volume', Source: volume, Target: FOLDER, VolumeOptions: VOLUME_OPTIONS }],
    },
  });
  const container = await withDeadline('files', DEFAULT_TIMEOUT_MS, making);
  try {
    await removeAbandoned(docker, { namespace, role: 'files', own: container.id });
    if (!(await hasProgram(container, content))) {
      const archive = pack();
      archive.entry({ name: 'busybox', mode: 0o755 }, content);
      archive.finalize();
      const writing: Promise<unknown> = container.putArchive(archive, { path: FOLDER });
      await withDeadline('files', DEFAULT_TIMEOUT_MS, writing);
    }
  } finally {
    // The image may declare volumes of its own.
    const removal = container.remove({ force: true, v: true });
    await withDeadline('files', DEFAULT_TIMEOUT_MS, removal).catch(() => undefined);
  }
}

/** Whether the volume has exactly this program. Whatever else is in its place is replaced. */
async function hasProgram(container: Docker.Container, content: Buffer): Promise<boolean> {
  const getting = container.getArchive({ path: FILES_HELPER });
  const archive = await ignoreStatus([404], withDeadline('files', DEFAULT_TIMEOUT_MS, getting));
  if (!archive) return false;
  const hash = createHash('sha256');
  const types: unknown[] = [];
  const entries = extract().on('entry', ({ type }, stream, next) => {
    types.push(type);
    stream.on('data', (chunk: Buffer) => hash.update(chunk)).once('end', next);
  });
  await withDeadline('files', DEFAULT_TIMEOUT_MS, pipeline(archive, entries));
  const isSame = hash.digest().equals(createHash('sha256').update(content).digest());
  return isSame && types[0] === 'file';
}
