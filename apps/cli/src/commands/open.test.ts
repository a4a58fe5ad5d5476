import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';

import type { AdminApi } from '../admin-api.ts';
import { runCli } from '../cli.ts';
import { createContext, type CliContext } from '../context.ts';

const id = `a${'1'.repeat(25)}`;
const url = `http://localhost:8080/demo/${id}/`;

async function open(browser: string): Promise<{ code: number; out: string; err: string }> {
  const [out, err]: [string[], string[]] = [[], []];
  const get = () => Promise.resolve({ id, url } as Awaited<ReturnType<AdminApi['get']>>);
  const context: CliContext = {
    ...createContext({
      stdout: { write: (text) => out.push(text) },
      stderr: { write: (text) => err.push(text) },
    }),
    api: () => ({ get }) as unknown as AdminApi,
    environment: { ...process.env, BROWSER: browser },
  };
  const code = await runCli(['open', id], context);
  return { code, out: out.join(''), err: err.join('') };
}

function program(script: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'ephemera-open-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'browser');
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return path;
}

test('opens the address with the program of the user, and prints it', async () => {
  const browser = program('echo "$1" >"$0.opened"');
  expect(await open(browser)).toEqual({ code: 0, out: `${url}\n`, err: '' });
  await waitFor('the program', () => existsSync(`${browser}.opened`));
  expect(readFileSync(`${browser}.opened`, 'utf8')).toBe(`${url}\n`);
});

test.each([
  ['that does not exist', () => '/nonexistent/browser', /ENOENT/],
  ['that fails', () => program('exit 3'), /ended with code 3/],
])('a program %s is an error, and the address is still printed', async (_, browser, reason) => {
  const { code, out, err } = await open(browser());
  expect({ code, out }).toEqual({ code: 1, out: `${url}\n` });
  expect(err).toMatch(reason);
  expect(err).toContain('BROWSER');
});
