import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { expect, onTestFinished, test } from 'vitest';

import { isComplete } from './packages.mjs';

const koa = { version: '3.3.0', integrity: 'sha512-a' };
const wanted = {
  '': { version: '0.1.0' },
  'apps/cli': { version: '0.1.0' },
  'node_modules/@ephemera/cli': { resolved: 'apps/cli', link: true },
  'node_modules/koa': koa,
  'node_modules/other-platform': { version: '1.0.0', integrity: 'sha512-b', optional: true },
};
const installed = {
  'node_modules/@ephemera/cli': { resolved: 'apps/cli', link: true },
  'node_modules/koa': koa,
};

test('the installation is complete without optional packages for other platforms', () => {
  expect(isComplete(wanted, installed)).toBe(true);
});

test.each([
  ['nothing is installed, or the install was interrupted', {}],
  ['a package has another version', { 'node_modules/koa': { ...koa, version: '3.2.0' } }],
  ['a workspace has moved', { 'node_modules/@ephemera/cli': { resolved: 'cli', link: true } }],
  ['a package has other bytes', { 'node_modules/koa': { ...koa, integrity: 'sha512-z' } }],
])('%s: stale', (_, change) => {
  const have = Object.keys(change).length === 0 ? {} : { ...installed, ...change };
  expect(isComplete(wanted, have)).toBe(false);
});

test.each(['SIGINT', 'SIGTERM'])(
  '%s during npm ci waits for the end of npm, and is not an error',
  async (signal) => {
    const folder = mkdtempSync(join(tmpdir(), 'packages-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, 'package-lock.json'), JSON.stringify({ packages: wanted }));
    const npm = join(folder, 'npm.js');
    const slow = `process.on('${signal}', () => setTimeout(() => { console.log('npm http x'); process.exit(1); }, 300));`;
    writeFileSync(
      npm,
      `${slow} require('fs').writeFileSync(__dirname + '/pid', String(process.pid)); setInterval(() => 0, 1000);`,
    );
    const packages = new URL('./packages.mjs', import.meta.url).href;
    const code = `(await import(${JSON.stringify(packages)})).installPackages(${JSON.stringify(folder)})`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', `await ${code}`], {
      env: { ...process.env, npm_execpath: npm },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const [out, err] = [text(child.stdout), text(child.stderr)];
    const ended = new Promise((resolve) => child.once('close', resolve));
    const pid = await waitForPid(join(folder, 'pid'));
    child.kill(signal);
    expect(await ended).toBe(130);
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    expect(await err).toBe('');
    expect(await out).toContain('Nothing was started');
  },
);

async function waitForPid(file) {
  for (let tries = 0; tries < 500; tries++) {
    const pid = existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0;
    if (pid > 0) return pid;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('npm was not run');
}
