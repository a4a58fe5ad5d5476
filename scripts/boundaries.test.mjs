import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { cruise } from 'dependency-cruiser';
import { expect, onTestFinished, test } from 'vitest';
import rules from '../.dependency-cruiser.mjs';

/** A small workspace that follows every rule. */
const CLEAN = {
  'apps/proxy/src/main.ts': "import '@ephemera/proxy';",
  'libs/proxy/src/index.ts': "import '@ephemera/store';\nimport './data-plane/forward.ts';",
  'libs/proxy/src/data-plane/forward.ts': "import 'undici';",
  'apps/worker/src/main.ts': "import '@ephemera/worker';",
  'libs/worker/src/index.ts': "import '@ephemera/lifecycle';\nimport './docker/connect.ts';",
  'libs/worker/src/docker/connect.ts': "import 'dockerode';",
  'libs/domain/src/index.ts': 'export const rule = 1;',
  'libs/lifecycle/src/index.ts': "export { rule } from '@ephemera/domain';",
  'libs/lifecycle/src/kill.test.ts': "import '@ephemera/test-support';\nimport './index.ts';",
  'libs/store/src/index.ts': "import 'node:fs';\nexport { rule } from '@ephemera/lifecycle';",
  'tests/support/src/index.ts': "import '@ephemera/lifecycle';",
  'tests/e2e/src/index.ts': "import '@ephemera/test-support';",
};

/** A violation of each rule. */
const PLANTED = {
  'no-circle': {
    'libs/store/src/index.ts': "import './other.ts';",
    'libs/store/src/other.ts': "import './index.ts';",
  },
  'domain-imports-nothing': { 'libs/domain/src/index.ts': "import 'node:path';" },
  'lifecycle-takes-ports': { 'libs/lifecycle/src/index.ts': "import 'node:fs';" },
  'libraries-point-one-way-store': {
    'libs/store/src/index.ts': "import '@ephemera/queue';",
    'libs/queue/src/index.ts': 'export const queue = 1;',
  },
  'client-runs-everywhere': { 'libs/client/src/index.ts': "import 'node:fs';" },
  'no-library-to-app': {
    'libs/store/src/index.ts': "import '../../../apps/worker/src/main.ts';",
  },
  'no-app-to-app': { 'apps/proxy/src/main.ts': "import '../../worker/src/main.ts';" },
  'no-test-suite-to-test-suite': {
    'tests/faults/src/index.ts': "import '../../e2e/src/index.ts';",
  },
  'libraries-by-their-name': {
    'apps/proxy/src/main.ts': "import '../../../libs/store/src/keys.ts';",
    'libs/store/src/keys.ts': 'export const keys = 1;',
  },
  'docker-in-one-folder': { 'libs/worker/src/index.ts': "import 'dockerode';" },
  'forwarding-in-one-folder': { 'libs/proxy/src/index.ts': "import 'undici';" },
  'routes-have-declarations': { 'libs/proxy/src/index.ts': "import '@koa/router';" },
  'no-test-code-in-the-product': { 'apps/worker/src/main.ts': "import '@ephemera/test-support';" },
  'no-unlisted-package': { 'apps/worker/src/main.ts': "import 'left-pad';" },
  'no-dangling-import': { 'apps/worker/src/main.ts': "import './nowhere.ts';" },
  'no-dead-file': {
    'libs/worker/src/dead.ts': "import './docker/connect.ts';",
    'libs/worker/src/dead.test.ts': "import './dead.ts';",
  },
  'no-orphan': { 'libs/worker/src/alone.ts': 'export const alone = 1;' },
};

/** Writes a workspace with stubs of the packages into a temporary folder. Returns the folder. */
function lay(files) {
  const folder = mkdtempSync(join(tmpdir(), 'ephemera-boundaries-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const write = (path, text) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), `${text}\n`);
  };
  const workspace = {
    workspaces: ['apps/*', 'libs/*', 'tests/*'],
    dependencies: { dockerode: '1', undici: '1', '@koa/router': '1' },
  };
  write('package.json', JSON.stringify(workspace));
  for (const name of ['dockerode', 'undici', '@koa/router', 'left-pad']) {
    write(`node_modules/${name}/package.json`, JSON.stringify({ name, main: 'index.js' }));
    write(`node_modules/${name}/index.js`, 'module.exports = 1;');
  }
  mkdirSync(join(folder, 'node_modules/@ephemera'));
  for (const [path, text] of Object.entries(files)) write(path, text);
  const packages = {
    'tests/support': 'test-support',
    ...Object.fromEntries(
      ['domain', 'lifecycle', 'store', 'queue', 'proxy', 'worker'].map((n) => [`libs/${n}`, n]),
    ),
  };
  for (const [path, name] of Object.entries(packages)) {
    const main = { name: `@ephemera/${name}`, type: 'module', exports: './src/index.ts' };
    write(`${path}/package.json`, JSON.stringify(main));
    symlinkSync(`../../${path}`, join(folder, 'node_modules/@ephemera', name));
  }
  return folder;
}

/** The names of the rules that a workspace breaks. */
async function brokenRules(files) {
  const { options, ...ruleSet } = rules;
  const { enhancedResolveOptions, ...rest } = options;
  const { output } = await cruise(
    ['apps', 'libs', 'tests'],
    { ...rest, ruleSet, validate: true, baseDir: lay(files) },
    enhancedResolveOptions,
  );
  return [...new Set(output.summary.violations.map(({ rule }) => rule.name))];
}

test('a workspace that follows the rules passes', async () => {
  expect(await brokenRules(CLEAN)).toEqual([]);
});

test.each(Object.keys(PLANTED))('%s finds its violation', async (name) => {
  expect(await brokenRules({ ...CLEAN, ...PLANTED[name] })).toContain(name);
});

test('every rule has a violation that proves it', () => {
  const oneFor = (name) =>
    name.replace(/^libraries-point-one-way-.*/, 'libraries-point-one-way-store');
  const names = new Set(rules.forbidden.map(({ name }) => oneFor(name)));
  expect([...names].sort()).toEqual(Object.keys(PLANTED).sort());
});
