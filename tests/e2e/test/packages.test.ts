import { execFile } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import {
  type NpmRegistry,
  demoTemplate,
  freePort,
  startNpmRegistry,
  waitFor,
} from '@ephemera/test-support';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { type Deployment, TOKEN, deploy } from './deployment.ts';
import { containersOf } from './docker-cli.ts';

// The packages for npm, as their users meet them: npm installs them into an empty folder outside the
// workspace, and the first use of each README runs there, as it is printed.

const execute = promisify(execFile);
const root = join(import.meta.dirname, '../../..');
const MAX_COMMANDS = 6;

// npm unpacks hundreds of packages.
vi.setConfig({ testTimeout: 300_000 });

let site: Deployment;
let registry: NpmRegistry;
beforeAll(async () => {
  [site, registry] = await Promise.all([
    deploy({ templates: `templates: { demo: ${demoTemplate({ timeout: '5m' })} }` }),
    startNpmRegistry(),
  ]);
}, 600_000);
afterAll(async () => {
  await Promise.all([site.stop(), registry.stop()]);
});

/** An empty folder, and what runs a script of a shell there. */
async function emptyFolder() {
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-user-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const env = {
    ...{ PATH: process.env['PATH'] },
    ...registry.env,
    EPHEMERA_ADMIN_URL: site.adminUrls[0],
  };
  const run = (script: string) =>
    execute('bash', ['-eo', 'pipefail', '-c', script], { cwd: folder, env, timeout: 240_000 });
  return { folder, run };
}

interface FirstUse {
  readonly commands: readonly string[];
  /** Name and content of the file that the reader saves. */
  readonly file: readonly [name: string, content: string] | undefined;
}

/** Reads the section "First use" of a README. */
async function firstUseOf(readme: string): Promise<FirstUse> {
  const text = await readFile(join(root, readme), 'utf8');
  const section = /^## First use\n(.*?)^## /ms.exec(text)?.[1] ?? '';
  const shell = Array.from(section.matchAll(/^```sh\n(.*?)^```$/gms), ([, block = '']) => block);
  const saved = /^Save this as `(\S+)`:\n\n```js\n(.*?)^```$/ms.exec(section);
  return {
    commands: shell.join('').trim().split('\n'),
    file: saved ? [saved[1] ?? '', saved[2] ?? ''] : undefined,
  };
}

/** Replaces what differs on this machine. Each text must occur, so that the README is what runs. */
function adapted(text: string, changes: Readonly<Record<string, string>>): string {
  return Object.entries(changes).reduce((result, [from, to]) => {
    expect(result).toContain(from);
    return result.replaceAll(from, to);
  }, text);
}

const withToken = (commands: readonly string[]) =>
  adapted(commands.join('\n'), { 'EPHEMERA_ADMIN_TOKEN=…': `EPHEMERA_ADMIN_TOKEN=${TOKEN}` });

test('the first use of the client', async () => {
  const { commands, file = ['', ''] } = await firstUseOf('libs/client/README.md');
  expect(commands.length).toBeLessThanOrEqual(MAX_COMMANDS);
  const { folder, run } = await emptyFolder();
  await writeFile(join(folder, file[0]), file[1]);
  const { stdout } = await run(withToken(commands));
  expect(stdout).toMatch(/^http:\/\/\S+\/demo\/[a-z0-9]{26}\/ 200$/m);
});

test('the first use of the library', async () => {
  const { commands, file = ['', ''] } = await firstUseOf('libs/embed/README.md');
  expect(commands.length).toBeLessThanOrEqual(MAX_COMMANDS);
  const { folder, run } = await emptyFolder();
  const port = String(await freePort());
  const program = adapted(file[1], {
    "image: 'traefik/whoami', port: 80,": "image: 'ephemera/demo', port: 8080,",
    "  docker: '": `  redis: '${site.redis.url}',\n  namespace: '${site.namespace}',\n  docker: '`,
    '3000': port,
  });
  await writeFile(join(folder, file[0]), program);
  const { stdout } = await run(`${adapted(commands.join('\n'), { '3000': port })}\nwait`);
  expect(stdout).toContain('This container is yours, for a while.');
  await waitFor('the end of all containers', async () => {
    return (await containersOf(site.namespace)).length === 0;
  });
});

test('the first use of the command line, and what it does without a deployment', async () => {
  const { commands } = await firstUseOf('apps/cli/README.md');
  expect(commands.length).toBeLessThanOrEqual(MAX_COMMANDS);
  const { folder, run } = await emptyFolder();
  const { stdout } = await run(withToken(commands));
  expect(stdout).toMatch(/^[a-z0-9]{26} +demo +ready /m);
  expect(stdout).toMatch(/^1 ending$/m);

  expect((await run('npx --yes ephemera --help')).stdout).toContain('EXIT CODES');
  await writeFile(join(folder, 'ephemera.yml'), 'templates: { a: { image: a, port: 80 } }');
  expect((await run('npx --yes ephemera check')).stdout).toContain(
    `${join(folder, 'ephemera.yml')} is valid`,
  );
  // It says what is missing instead of failing inside.
  for (const command of ['up', 'clean', 'try image']) {
    const failed = await run(`npx --yes ephemera ${command}`).then(
      () => undefined,
      (error: unknown) => error as { code: number; stderr: string },
    );
    expect(failed?.code).toBe(1);
    expect(failed?.stderr).toMatch(/^"ephemera \w+" runs programs of a deployment/m);
  }
});

test('a strict compiler accepts the examples of the READMEs', async () => {
  const { folder, run } = await emptyFolder();
  const packages = '@ephemera/client @ephemera/embed @types/node @types/koa koa @koa/router';
  await run(`npm init --yes && npm install ${packages}`);
  await writeFile(join(folder, 'globals.d.ts'), GLOBALS);
  const files: string[] = [];
  for (const name of ['client', 'embed']) {
    const text = await readFile(join(root, `libs/${name}/README.md`), 'utf8');
    for (const [, block = ''] of text.matchAll(/^```ts\n(.*?)^```$/gms)) {
      const file = `${name}-${files.length}.mts`;
      await writeFile(join(folder, file), `${block}\nexport {};\n`);
      files.push(file);
    }
  }
  expect(files.length).toBeGreaterThan(5);
  const compiler = join(root, 'node_modules/typescript7/bin/tsc');
  const strict = '--noEmit --strict --exactOptionalPropertyTypes --skipLibCheck false';
  const target = '--module nodenext --target es2024 --lib es2024,esnext.disposable --types node';
  const compile = (more: string) =>
    run(`node ${compiler} ${strict} ${target} globals.d.ts ${more}`).catch(
      (error: unknown) => error as { stdout: string },
    );
  expect((await compile(files.join(' '))).stdout).toBe('');
  await writeFile(join(folder, 'wrong.mts'), "await ephemera.renew('id', { timeout: '1m' });");
  expect((await compile('wrong.mts')).stdout).toContain('wrong.mts(1,');
});

/** What the examples take as given. */
const GLOBALS = `
import type { Client, Instance } from '@ephemera/client';
declare global {
  const ephemera: Client;
  const instance: Instance;
  const reload: () => void;
  const rawBody: string;
  const request: { headers: Record<string, string> };
  const secret: string;
  const router: import('@koa/router').default;
  const app: import('koa');
}
`;

test('a package contains only compiled code, and lists exactly what this imports', async () => {
  for (const tarball of registry.tarballs) {
    const folder = await mkdtemp(join(tmpdir(), 'ephemera-packed-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    await execute('tar', ['-xzf', tarball, '-C', folder, '--strip-components=1']);
    const names = (await readdir(folder, { recursive: true })).filter((name) =>
      /\.\w+$/.test(name),
    );
    expect(names).toEqual(expect.arrayContaining(['README.md', 'package.json']));
    expect(await readdir(folder)).toContain('LICENSE');
    const sources = names
      .filter((name) => /(?<!\.d)\.ts$/.test(name))
      .map((name) => basename(name));
    // A helper container gets its text as an argument, and a Node that strips types.
    expect(sources).toEqual(tarball.includes('embed') ? ['name-responder.ts'] : []);

    const manifest = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as {
      private?: boolean;
      dependencies: Record<string, string>;
    };
    expect(manifest.private).toBeUndefined();
    const code = await Promise.all(
      names
        .filter((name) => /\.(js|d\.ts)$/.test(name))
        .map((name) => readFile(join(folder, name), 'utf8')),
    );
    const all = code.join('\n');
    expect(all).not.toMatch(/(?:from|import\() ?['"]@ephemera\//);
    const listed = Object.keys(manifest.dependencies).filter((name) => !name.startsWith('@types/'));
    const unused = listed.filter((name) => !new RegExp(`['"]${name}(?:/[^'"]*)?['"]`).test(all));
    expect(unused).toEqual([]);
  }
});

test('npm would publish the packages', async () => {
  const manifest = await readFile(join(root, 'package.json'), 'utf8');
  const { version } = JSON.parse(manifest) as { version: string };
  const { run } = await emptyFolder();
  for (const tarball of registry.tarballs) {
    const options = `--dry-run --json --access public --registry ${registry.empty}`;
    // A path without a dot would be that of a repository on GitHub.
    const file = `./${basename(tarball)}`;
    const { stdout } = await run(`cp ${tarball} ${file} && npm publish ${file} ${options}`);
    expect(stdout).toContain(`"version": "${version}"`);
  }
});
