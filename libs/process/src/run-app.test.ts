import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { waitFor } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';

function run(main: string) {
  const at = (file: string) => JSON.stringify(join(import.meta.dirname, file));
  const code = `
    const { runMain } = await import(${at('run-app.ts')});
    const { BootError } = await import('@ephemera/domain');
    await runMain(async () => { ${main} });
  `;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    cwd: import.meta.dirname,
    encoding: 'utf8',
  });
  return { code: child.status, text: child.stderr };
}

test('an error that the operator can fix is printed without a stack', () => {
  expect(run("throw new BootError('Redis does not answer at redis://127.0.0.1:1/0')")).toEqual({
    code: 1,
    text: 'Redis does not answer at redis://127.0.0.1:1/0\n',
  });
});

test('a bug is printed with its stack', () => {
  const { code, text } = run("throw new TypeError('a bug')");
  expect(code).toBe(1);
  expect(text).toMatch(/TypeError: a bug\n\s+at /);
});

test('a successful command keeps its exit code', () => {
  expect(run('process.exitCode = 3')).toEqual({ code: 3, text: '' });
});

/** Starts an app in its own process. `release` is the code that its stop runs. */
function start(release: string) {
  const code = `
    const { runApp } = await import(${JSON.stringify(join(import.meta.dirname, 'run-app.ts'))});
    const stop = async () => { console.log('releasing'); ${release}; console.log('released'); };
    setInterval(() => {}, 1000);
    await runApp(() => ({ logger: { info() {}, error() {} }, start: async () => {}, stop }));
    console.log('up');
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code]);
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  onTestFinished(() => void child.kill('SIGKILL'));
  const says = (word: string) => waitFor(word, () => output.includes(word));
  return { child, says, exited, output: () => output };
}

test.each(['SIGTERM', 'SIGINT'] as const)(
  '%s releases everything and exits with 0',
  async (signal) => {
    const { child, says, exited, output } = start('await 0');
    await says('up');
    child.kill(signal);
    expect(await exited).toBe(0);
    expect(output()).toContain('released');
  },
);

test('a second signal forces the exit', async () => {
  const { child, says, exited, output } = start('await new Promise(() => {})');
  await says('up');
  child.kill('SIGTERM');
  await says('releasing');
  child.kill('SIGTERM');
  expect(await exited).toBe(1);
  expect(output()).not.toContain('released');
});
