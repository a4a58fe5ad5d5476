import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

function run(main: string) {
  const at = (file: string) => JSON.stringify(join(import.meta.dirname, file));
  const code = `
    const { runApp } = await import(${at('run-app.ts')});
    const { ConfigError } = await import(${at('environment.ts')});
    const { BootError } = await import('@ephemera/domain');
    await runApp(async () => { ${main} });
  `;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    cwd: import.meta.dirname,
    encoding: 'utf8',
  });
  return { code: child.status, text: child.stderr };
}

test('what an operator can mend is told without a stack', () => {
  expect(run("throw new BootError('Redis does not answer at redis://127.0.0.1:1/0')")).toEqual({
    code: 1,
    text: 'Redis does not answer at redis://127.0.0.1:1/0\n',
  });
  expect(
    run("throw new ConfigError('The environment', [{path: 'A', detail: 'is wrong'}])"),
  ).toEqual({
    code: 1,
    text: 'The environment cannot be used:\n  A: is wrong\n',
  });
});

test('a bug is told with its stack', () => {
  const { code, text } = run("throw new TypeError('a bug')");
  expect(code).toBe(1);
  expect(text).toMatch(/TypeError: a bug\n\s+at /);
});

test('an app that starts ends as it likes', () => {
  expect(run('process.exitCode = 3')).toEqual({ code: 3, text: '' });
});
