import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import type Docker from 'dockerode';

export interface ImageBuild {
  /** The folder with the Dockerfile and all files that it copies. */
  readonly context: string;
  readonly tag: string;
  /**
   * Build arguments. If `BASE` names an image, the id of that image is part of the content hash.
   */
  readonly args: Readonly<Record<string, string>>;
}

/** Label with the hash of the image's content. An image with the same hash is up to date. */
const contentHashLabel = 'ephemera.content';
const timeoutMs = 10 * 60_000;
const bookkeeping = /^(--->|Removing intermediate container)/;

/**
 * Builds an image from a folder, unless the tag already has the same content.
 *
 * @param reportProgress receives the lines of the build output, without line ends
 * @throws Error with the daemon's message if a step fails
 */
export async function buildImage(
  docker: Docker,
  build: ImageBuild,
  reportProgress: (line: string) => void,
): Promise<'built' | 'unchanged'> {
  const files = await listFiles(build.context);
  const base = build.args['BASE'];
  const content = await hashContent(build, files, base && (await readImage(docker, base))?.id);
  const before = await readImage(docker, build.tag);
  if (before?.content === content) return 'unchanged';

  const answer = await docker.buildImage(
    { context: build.context, src: files },
    {
      t: build.tag,
      buildargs: { ...build.args },
      labels: { [contentHashLabel]: content },
      forcerm: true,
      abortSignal: AbortSignal.timeout(timeoutMs),
    },
  );
  for await (const line of createInterface({ input: answer })) report(line, reportProgress);
  // If the daemon dies during the build, the response ends without an error.
  if ((await readImage(docker, build.tag))?.content !== content) {
    throw new Error(`the build of ${build.tag} ended before the image existed`);
  }
  if (before?.content !== undefined) await removeUnused(docker, before.id);
  return 'built';
}

/** A line is `{"stream": "Step 1/2 : FROM …\\n"}` or `{"error": "…"}`, or describes layers. */
function report(line: string, reportProgress: (line: string) => void): void {
  const { stream, error } = JSON.parse(line) as { stream?: string; error?: string };
  if (error !== undefined) throw new Error(error);
  const text = stream?.trim();
  if (text && !bookkeeping.test(text)) reportProgress(text);
}

async function readImage(docker: Docker, name: string) {
  try {
    const found = await docker.getImage(name).inspect();
    const labels = found.Config.Labels as Record<string, string> | null;
    return { id: found.Id, content: labels?.[contentHashLabel] };
  } catch (error) {
    if ((error as { statusCode?: number }).statusCode === 404) return undefined;
    throw error;
  }
}

/** Removes the previous image of the tag. 409: a container still uses it. */
async function removeUnused(docker: Docker, id: string): Promise<void> {
  try {
    await docker.getImage(id).remove();
  } catch (error) {
    const { statusCode } = error as { statusCode?: number };
    if (statusCode !== 404 && statusCode !== 409) throw error;
  }
}

async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

async function hashContent(
  { context, tag, args }: ImageBuild,
  files: readonly string[],
  base: string | undefined,
): Promise<string> {
  const hash = createHash('sha256').update(
    JSON.stringify([tag, Object.entries(args).sort(), base]),
  );
  for (const file of files) {
    const { mode, size } = await stat(join(context, file));
    hash
      .update(JSON.stringify([file, mode & 0o777, size]))
      .update(await readFile(join(context, file)));
  }
  return hash.digest('hex');
}
