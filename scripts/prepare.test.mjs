import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

import { unsupportedPlatform } from './prepare.mjs';

test.each(['x64', 'arm64'])('Linux on %s is supported', (arch) => {
  expect(unsupportedPlatform('linux', arch)).toBeUndefined();
});

test.each([
  ['darwin', 'arm64'],
  ['win32', 'x64'],
  ['linux', 'riscv64'],
])('%s on %s is refused with a way out', (platform, arch) => {
  expect(unsupportedPlatform(platform, arch)).toMatch(
    new RegExp(`runs on Linux.*this machine is ${platform} ${arch}.*virtual machine`),
  );
});

test.each(['start', 'test', 'check'])(
  'npm run %s exits with that message and installs nothing',
  (name) => {
    const fake = "Object.defineProperty(process, 'platform', { value: 'darwin' })";
    const script = fileURLToPath(new URL(`./${name}.mjs`, import.meta.url));
    const args = ['--import', `data:text/javascript,${encodeURIComponent(fake)}`, script];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr.trim()).toBe(unsupportedPlatform('darwin', process.arch));
  },
);
