import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { runInNewContext } from 'node:vm';
import {
  type Deployment,
  type NpmRegistry,
  TOKEN,
  demoTemplate,
  deploy,
  startNpmRegistry,
  waitFor,
} from '@ephemera/test-support';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { parse } from 'yaml';

// The steps of the workflow, as they are in its file, on the events of a pull request: with the
// packed command line, a real deployment, and a substitute for the comments of GitHub.

const execute = promisify(execFile);
const file = join(import.meta.dirname, '../../../examples/github-preview/preview.yml');
const REPOSITORY = 'acme/shop';

// npm unpacks hundreds of packages.
vi.setConfig({ testTimeout: 300_000 });

let site: Deployment;
let registry: NpmRegistry;
beforeAll(async () => {
  const template = demoTemplate({ timeout: '10m', envAllow: ['COMMIT'] });
  [site, registry] = await Promise.all([
    deploy({ templates: `templates: { preview: ${template} }` }),
    startNpmRegistry(),
  ]);
}, 600_000);
afterAll(async () => {
  await Promise.all([site.stop(), registry.stop()]);
});

/** A step that runs a script, or one that uses an action, which only GitHub can run. */
interface Step {
  readonly if: string;
  readonly id?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly run?: string;
}
interface Workflow {
  readonly jobs: {
    readonly preview: {
      readonly if: string;
      readonly env: Readonly<Record<string, string>>;
      readonly steps: readonly Step[];
    };
  };
}

/** Evaluates an expression of GitHub Actions over its contexts, as far as the workflow uses them. */
function evaluate(expression: string, contexts: object): unknown {
  const read = (path: string): unknown =>
    path.split('.').reduce<unknown>((value, key) => {
      if (key === '*') return value;
      const of = (item: unknown) => (item as Record<string, unknown> | undefined)?.[key];
      return Array.isArray(value) ? value.map(of) : of(value);
    }, contexts);
  const contains = (values: readonly unknown[], value: unknown) => values.includes(value);
  const paths = /'[^']*'|[a-z][\w-]*(?:\.(?:[\w-]+|\*))+/g;
  const code = expression.replace(paths, (found) =>
    found.startsWith("'") ? found : `read('${found}')`,
  );
  return runInNewContext(code, { read, contains });
}

function fill(value: string, contexts: object): string {
  return value.replace(/\$\{\{ (.*?) \}\}/g, (_, expression: string) =>
    String(evaluate(expression, contexts)),
  );
}

interface Change {
  readonly action: 'opened' | 'synchronize' | 'labeled' | 'closed';
  readonly number: number;
  readonly from?: string;
  readonly labels?: readonly string[];
  /** The label of `labeled`. */
  readonly label?: string;
}

/** A substitute for GitHub. `send` runs the workflow on an event, and returns whether its job ran. */
async function startGitHub() {
  const workflow = parse(await readFile(file, 'utf8')) as Workflow;
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-runner-'));
  const comments: { path: string; token: string | undefined; body: unknown }[] = [];
  const server = createServer((req, res) => {
    void text(req).then((body) => {
      const { url: path = '', headers } = req;
      comments.push({ path, token: headers.authorization, body: JSON.parse(body) as unknown });
      res.writeHead(201, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    server.close();
    await rm(folder, { recursive: true, force: true });
  });
  const { port } = server.address() as AddressInfo;

  const send = async ({ action, number, from = REPOSITORY, labels = [], label }: Change) => {
    const issue = `http://127.0.0.1:${port}/repos/${REPOSITORY}/issues/${number}`;
    const event = {
      ...{ action, number },
      pull_request: {
        comments_url: `${issue}/comments`,
        head: { sha: 'c0ffee', repo: { full_name: from } },
        labels: labels.map((name) => ({ name })),
      },
      repository: { full_name: REPOSITORY },
      ...(label !== undefined && { label: { name: label } }),
    };
    const steps: Record<string, { outputs: Record<string, string> }> = {};
    const contexts = {
      github: { event, repository: REPOSITORY, token: 'token-of-the-run' },
      inputs: { url: site.adminUrls[0], template: 'preview' },
      secrets: { token: TOKEN },
      steps,
    };
    const { preview: job } = workflow.jobs;
    if (evaluate(job.if, contexts) !== true) return false;
    for (const step of job.steps) {
      if (step.run === undefined || evaluate(step.if, contexts) !== true) continue;
      const output = join(folder, 'output');
      await writeFile(output, '');
      const own = Object.entries({ ...job.env, ...step.env }).map(
        ([name, value]) => [name, fill(value, contexts)] as const,
      );
      const env = {
        ...{ PATH: process.env['PATH'], GITHUB_OUTPUT: output },
        ...registry.env,
        ...Object.fromEntries(own),
      };
      await execute('bash', ['-e', '-c', step.run], { cwd: folder, env, timeout: 240_000 });
      const lines = (await readFile(output, 'utf8')).split('\n').filter(Boolean);
      const outputs: Record<string, string> = Object.fromEntries(
        lines.map((line) => {
          const equals = line.indexOf('=');
          return [line.slice(0, equals), line.slice(equals + 1)];
        }),
      );
      if (step.id !== undefined) steps[step.id] = { outputs };
    }
    return true;
  };
  return { comments, send };
}

/** The instance that a visitor of a name gets; undefined if there is no such name. */
async function instanceOf(name: string): Promise<string | undefined> {
  const response = await fetch(`${site.publicUrls[0]}/demo/@${name}/id`);
  const body = await response.text();
  if (response.status === 404) return undefined;
  expect(response.status).toBe(200);
  return body;
}

test('a pull request gets an instance and a comment, a push replaces it, and closing ends it', async () => {
  const { comments, send } = await startGitHub();
  expect(await send({ action: 'opened', number: 42 })).toBe(true);
  const first = await instanceOf('pr-42');
  expect(first).toMatch(/^[a-z0-9]{26}$/);
  const [comment] = comments;
  expect(comment).toMatchObject({
    path: `/repos/${REPOSITORY}/issues/42/comments`,
    token: 'Bearer token-of-the-run',
  });
  const { body } = comment?.body as { body: string };
  const [, url = ''] = /^Preview of this pull request: (\S+)$/.exec(body) ?? [];
  expect(await (await fetch(`${url}cgi-bin/echo`)).text()).toContain(`instance: ${first}\n`);

  expect(await send({ action: 'synchronize', number: 42 })).toBe(true);
  const second = await instanceOf('pr-42');
  expect(second).not.toBe(first);
  expect(await (await fetch(`${url}id`)).text()).toBe(second);

  expect(await send({ action: 'closed', number: 42 })).toBe(true);
  await waitFor('the end of the name', async () => (await instanceOf('pr-42')) === undefined);
  expect(comments).toHaveLength(1);
});

test('a fork gets a preview only with the label', async () => {
  const { comments, send } = await startGitHub();
  const fork = { number: 43, from: 'mallory/shop' } as const;
  for (const action of ['opened', 'synchronize', 'closed'] as const) {
    expect(await send({ ...fork, action })).toBe(false);
  }
  expect(await send({ ...fork, action: 'labeled', labels: ['bug'], label: 'bug' })).toBe(false);
  expect(await instanceOf('pr-43')).toBeUndefined();
  expect(comments).toEqual([]);

  const labels = ['bug', 'preview'];
  expect(await send({ ...fork, action: 'labeled', labels, label: 'preview' })).toBe(true);
  const first = await instanceOf('pr-43');
  expect(first).toBeDefined();
  expect(comments).toHaveLength(1);
  // Another label changes nothing.
  expect(await send({ ...fork, action: 'labeled', labels, label: 'bug' })).toBe(false);
  expect(await instanceOf('pr-43')).toBe(first);
  expect(await send({ ...fork, action: 'closed', labels })).toBe(true);
  await waitFor('the end of the name', async () => (await instanceOf('pr-43')) === undefined);
});
