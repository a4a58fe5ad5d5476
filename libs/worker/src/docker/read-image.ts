import { posix } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import type Docker from 'dockerode';
import { extract } from 'tar-stream';
import { DEFAULT_TIMEOUT_MS, START_TIMEOUT_MS } from '../limits.ts';
import { daemonMessage, ignoreStatus, statusOf, withDeadline } from './docker-client.ts';
import { removeAbandoned } from './helper-containers.ts';
import { helperLabels } from './labels.ts';

/** Numeric ids of the process of a container. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** What the creation of a container needs to know about its image. */
export interface ImageFacts {
  /** `sha256:…`: another build under the same tag has another id. */
  readonly id: string;
  /**
   * The ids of the process. Undefined if the image does not know the user: the daemon then refuses
   * the start, with a message that names the user.
   */
  readonly owner: Owner | undefined;
  /** Each volume path that the image declares, and whether the image has files there. */
  readonly volumes: Readonly<Record<string, { readonly hasContent: boolean }>>;
}

/** Reads images. The results are remembered by image id and user. */
export interface ImageReader {
  /**
   * @param user as in `docker run --user`; undefined for the user that the image sets
   * @returns undefined if the host does not have the image
   */
  read(image: string, user: string | undefined): Promise<ImageFacts | undefined>;
}

/** How many results are remembered. */
const MAX_REMEMBERED = 1_000;

/**
 * The Docker API shows the files of a container only, so a container is created, never started, and
 * removed again. It has the labels of the deployment: if this process dies, a clean-up removes it.
 */
export function imageReader(docker: Docker, namespace: string): ImageReader {
  const known = new Map<string, Promise<ImageFacts>>();
  return {
    async read(image, user) {
      const call = docker.getImage(image).inspect();
      const seen = await ignoreStatus([404], withDeadline('inspect', DEFAULT_TIMEOUT_MS, call));
      if (!seen) return undefined;
      const { Id: id, Config } = seen;
      const key = `${id} ${user ?? ''}`;
      const remembered = known.get(key);
      if (remembered) return await remembered;
      // Newer daemons leave out what is empty.
      const { User: imageUser = '', Volumes: declared } = Config as {
        User?: string;
        Volumes?: Record<string, object> | null;
      };
      const reading = readFacts(docker, namespace, {
        id,
        user: user ?? imageUser,
        volumes: Object.keys(declared ?? {}),
      });
      if (known.size >= MAX_REMEMBERED) known.clear();
      known.set(key, reading);
      reading.catch(() => known.delete(key));
      return await reading;
    },
  };
}

interface Question {
  readonly id: string;
  readonly user: string;
  readonly volumes: readonly string[];
}

async function readFacts(
  docker: Docker,
  namespace: string,
  { id, user, volumes }: Question,
): Promise<ImageFacts> {
  const numeric = /^(\d+):(\d+)$/.exec(user);
  const isRoot = user === '' || user === '0';
  const plain = numeric
    ? { uid: Number(numeric[1]), gid: Number(numeric[2]) }
    : isRoot
      ? { uid: 0, gid: 0 }
      : undefined;
  if (plain && volumes.length === 0) return { id, owner: plain, volumes: {} };
  return await withFiles(docker, namespace, { id, volumes }, async (files) => {
    const owner =
      plain ?? ownerOf(user, await files.text('/etc/passwd'), await files.text('/etc/group'));
    const found: Record<string, { hasContent: boolean }> = {};
    for (const path of volumes) found[path] = { hasContent: await files.hasContent(path) };
    return { id, owner, volumes: found };
  });
}

/**
 * Resolves `user` or `user:group`, each a name or a number, as the daemon does: a number without an
 * entry in passwd stands for itself, with group 0.
 */
export function ownerOf(user: string, passwd: string, group: string): Owner | undefined {
  const [name = '', groupName] = user.split(':');
  const rows = (text: string) => text.split('\n').map((line) => line.split(':'));
  const entry =
    rows(passwd).find(([text]) => text === name) ?? rows(passwd).find(([, , uid]) => uid === name);
  const uid = toId(entry?.[2]) ?? toId(name);
  const gid =
    groupName === undefined || groupName === ''
      ? (toId(entry?.[3]) ?? 0)
      : (toId(rows(group).find(([text]) => text === groupName)?.[2]) ?? toId(groupName));
  return uid === undefined || gid === undefined ? undefined : { uid, gid };
}

function toId(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}

/** The files of an image. */
interface ImageFiles {
  /** Empty if the file does not exist. */
  text(path: string): Promise<string>;
  /** Whether there is anything in a folder. */
  hasContent(path: string): Promise<boolean>;
}

/** Files above this size are not read: real ones have a few kilobytes. */
const MAX_FILE_BYTES = 1024 ** 2;
/** How many symbolic links are followed to a file. */
const MAX_LINKS = 5;
/** How long the archive of a path may take, ms. */
const ARCHIVE_TIMEOUT_MS = 30_000;

async function withFiles<T>(
  docker: Docker,
  namespace: string,
  { id, volumes }: Pick<Question, 'id' | 'volumes'>,
  use: (files: ImageFiles) => Promise<T>,
): Promise<T> {
  const making = docker.createContainer({
    Image: id,
    // An image without a command needs one for a container, which is never started.
    Entrypoint: ['/'],
    Labels: helperLabels(namespace, 'image-reader'),
    NetworkDisabled: true,
    // Otherwise Docker copies the content of each volume to the disk.
    HostConfig: { Tmpfs: Object.fromEntries(volumes.map((path) => [path, 'size=4k'])) },
  });
  const container = await withDeadline('create', START_TIMEOUT_MS, making).catch(
    async (error: unknown) => {
      // The daemon may still complete a creation that took too long.
      await removeAbandoned(docker, { namespace, role: 'image-reader' });
      throw error;
    },
  );
  const read = async (path: string, visit: Visit): Promise<void> => {
    const call = container.getArchive({ path });
    try {
      const archive = await withDeadline('archive', DEFAULT_TIMEOUT_MS, call);
      await withDeadline('archive', ARCHIVE_TIMEOUT_MS, readArchive(archive, visit));
    } catch (error) {
      // The path does not exist. If the container does not, another program has removed it.
      if (statusOf(error) !== 404 || /no such container:/i.test(daemonMessage(error))) throw error;
    }
  };
  const readText = async (path: string, links: number): Promise<string> => {
    let found = '';
    let target: string | undefined;
    await read(path, async ({ type, size, linkname }, body) => {
      if (type === 'symlink' && linkname) target = posix.resolve(posix.dirname(path), linkname);
      else if (type === 'file' && size <= MAX_FILE_BYTES) found = await text(body);
      return 'stop';
    });
    return target !== undefined && links > 0 ? await readText(target, links - 1) : found;
  };
  try {
    await removeAbandoned(docker, { namespace, role: 'image-reader', own: container.id });
    return await use({
      text: (path) => readText(path, MAX_LINKS),
      async hasContent(path) {
        let entries = 0;
        // The first entry is the folder itself; the dot follows a symbolic link.
        await read(`${path}/.`, () => Promise.resolve(++entries > 1 ? 'stop' : 'next'));
        return entries > 1;
      },
    });
  } finally {
    const removal = container.remove({ force: true, v: true });
    // A container that stays is removed by the next reader. The result does not depend on it.
    await withDeadline('remove', START_TIMEOUT_MS, removal).catch(() => undefined);
  }
}

type Visit = (
  entry: { readonly type: string; readonly size: number; readonly linkname: string | undefined },
  body: Readable,
) => Promise<'next' | 'stop'>;

/** Visits the entries of a tar archive, until one of them is the last that is wanted. */
async function readArchive(archive: NodeJS.ReadableStream, visit: Visit): Promise<void> {
  const stop = new AbortController();
  const entries = extract();
  entries.on('entry', ({ type, size = 0, linkname }, body, next) => {
    visit({ type: type ?? 'file', size, linkname: linkname ?? undefined }, body).then(
      (answer) => {
        if (answer === 'stop') stop.abort();
        else body.on('end', () => next()).resume();
      },
      (error: unknown) => entries.destroy(error as Error),
    );
  });
  try {
    await pipeline(archive, entries, { signal: stop.signal });
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  }
}
