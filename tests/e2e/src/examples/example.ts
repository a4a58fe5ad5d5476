/** The applications in examples/: one folder each, with a Dockerfile, a template and a README. */
import { execFile } from 'node:child_process';
import { copyFile, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { buildDebianImage, buildTestImage, deploy } from '@ephemera/test-support';
import type { Deployment } from '@ephemera/test-support';

const root = join(import.meta.dirname, '../../../..');
const folder = join(root, 'examples');
const NODE = '24.22.3';
const NPM = '11.19.1';
const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt';

/** The forms of addresses, in the order of the replicas that serve them. */
export const FORMS = ['path', 'host'] as const;
export type Form = (typeof FORMS)[number];

export interface RunningExample {
  readonly site: Deployment;
  /** The address of each form that starts an instance: `http://HOST:PORT/demo/new`. */
  readonly start: Readonly<Record<Form, string>>;
}

export function exampleNames(): string[] {
  const entries = readdirSync(folder, { withFileTypes: true });
  // The other folders are programs that use Ephemera.
  const isApplication = (name: string) => existsSync(join(folder, name, 'Dockerfile'));
  return entries
    .flatMap((entry) => (entry.isDirectory() && isApplication(entry.name) ? [entry.name] : []))
    .sort();
}

/** The image that {@link buildExample} makes. */
export function imageOf(name: string): string {
  return `ephemera-examples/${name}`;
}

/** The title in the README of an example. */
export async function titleOf(name: string): Promise<string> {
  const text = await readFile(join(folder, name, 'README.md'), 'utf8');
  return /^# (.*)$/m.exec(text)?.[1] ?? name;
}

/**
 * Builds the image of an example from packages of Debian and npm. Unchanged steps are cached.
 * @param output receives the output of the build
 */
export async function buildExample(name: string, output?: NodeJS.WritableStream): Promise<void> {
  const context = join(folder, name);
  const dockerfile = await readFile(join(context, 'Dockerfile'), 'utf8');
  const machine = 'ephemera-examples/debian';
  await buildTestImage(machine, await makeMachineContext(), { BASE: await buildDebianImage() });
  let base = machine;
  if (dockerfile.startsWith('ARG BASE=node:')) {
    base = 'ephemera-examples/node';
    await buildTestImage(base, await makeNodeContext(), { BASE: machine });
  }
  await buildTestImage(imageOf(name), context, { BASE: base }, output);
}

/** The registry and the certificates of this machine, which no Dockerfile may name. */
async function makeMachineContext(): Promise<string> {
  const context = await startContext('machine');
  const etc = join(context, 'root/usr/local/etc');
  await mkdir(etc, { recursive: true });
  const registry = (await run('npm', ['config', 'get', 'registry'])).trim();
  const lines = [`registry=${registry}`];
  if ((await stat(CERTIFICATES).catch(() => undefined)) !== undefined) {
    await copyFile(CERTIFICATES, join(etc, 'machine.crt'));
    lines.push('cafile=/usr/local/etc/machine.crt');
  }
  await writeFile(join(etc, 'npmrc'), `${lines.join('\n')}\n`);
  return context;
}

async function makeNodeContext(): Promise<string> {
  const context = await startContext('node');
  const local = join(context, 'root/usr/local');
  const name = `node-linux-${process.arch}`;
  const installed = join(local, 'lib/node_modules', name, 'package.json');
  if (
    await readFile(installed, 'utf8').then(
      (text) => text.includes(NODE),
      () => false,
    )
  )
    return context;
  const packages = [`npm@${NPM}`, `${name}@${NODE}`];
  const install = ['install', '--global', '--prefix', local, '--loglevel=error'];
  await run('npm', [...install, ...packages]);
  return context;
}

/** @returns the folder of a build context, which keeps its files between builds */
async function startContext(kind: string): Promise<string> {
  const context = join(root, '.ephemera/cache/examples', kind);
  await mkdir(context, { recursive: true });
  const dockerfile = join(root, 'tests/e2e/examples-base', kind, 'Dockerfile');
  await copyFile(dockerfile, join(context, 'Dockerfile'));
  return context;
}

async function run(program: string, args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(program, args, { cwd: root });
  return stdout;
}

/** The `ephemera.yml` of an example. */
export function templateOf(name: string): Promise<string> {
  return readFile(join(folder, name, 'ephemera.yml'), 'utf8');
}

export interface StartOptions {
  /** Of the host form. Browsers resolve names below localhost, the default, themselves. */
  readonly domain?: string;
  /** An `ephemera.yml` in place of that of the example. */
  readonly templates?: string;
}

/** Starts a deployment with the template of an example, and a proxy for each form. */
export async function startExample(
  name: string,
  { domain = 'localhost', templates }: StartOptions = {},
): Promise<RunningExample> {
  const site = await deploy({ templates: templates ?? (await templateOf(name)) });
  try {
    await site.startProxy({ domain });
  } catch (error) {
    await site.stop();
    throw error;
  }
  const [path, host] = site.publicUrls.map((url) => `${url}/demo/new`);
  if (path === undefined || host === undefined) throw new Error('a proxy is missing');
  return { site, start: { path, host: host.replace('127.0.0.1', domain) } };
}
