import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { withInstallScript } from './lock-rules.mjs';

/**
 * Shows that the installed packages work: each package with an install script, and what loads them
 * in the product. check-lock.mjs runs this with and without the install scripts.
 *
 * Usage: node lock-smoke.mjs FOLDER, where FOLDER holds package-lock.json and node_modules.
 */

/**
 * How each package with an install script is used. Each entry gets the `require` of a workspace.
 *
 * @type {Record<string, (load: (workspace: string) => NodeJS.Require, folder: string) => void | Promise<void>>}
 */
export const smokes = {
  /** Optional: ssh2 orders ciphers by it, and has a default order. */
  'cpu-features': (load) => useSsh2(load),
  /** Speeds up msgpackr, which has its own JavaScript reader. */
  'msgpackr-extract'(load) {
    const bullmq = load('libs/queue').resolve('bullmq');
    const { pack, unpack } = createRequire(bullmq)('msgpackr');
    const value = { text: 'ä'.repeat(5_000), list: Array.from({ length: 500 }, (_, i) => `${i}`) };
    assert.deepEqual(unpack(pack(value)), value);
  },
  nx(load, folder) {
    const nx = load('.')
      .resolve('nx/package.json')
      .replace(/package\.json$/, '');
    const { bin } = JSON.parse(readFileSync(join(nx, 'package.json'), 'utf8'));
    const env = { ...process.env, NX_DAEMON: 'false', NX_TUI: 'false', CI: 'true' };
    const args = [join(nx, bin.nx), 'show', 'projects', '--json'];
    const options = { cwd: folder, env, encoding: 'utf8', timeout: 120_000 };
    const projects = JSON.parse(execFileSync(process.execPath, args, options));
    assert.ok(projects.includes('@ephemera/proxy'), `nx found ${projects}`);
  },
  protobufjs(load) {
    const modem = load('apps/worker').resolve('dockerode');
    const { parse } = createRequire(modem)('protobufjs');
    const { root } = parse('syntax = "proto3"; message M { string name = 1; }');
    const M = root.lookupType('M');
    assert.equal(M.decode(M.encode({ name: 'a' }).finish()).name, 'a');
  },
  ssh2: (load) => useSsh2(load),
};

function useSsh2(load) {
  const { utils } = createRequire(load('apps/worker').resolve('dockerode'))('ssh2');
  // Not ed25519: ssh2 1.17 cannot parse 3 of 1,000 of the ed25519 keys that it generates.
  const { private: key } = utils.generateKeyPairSync('ecdsa', { bits: 256 });
  assert.equal(utils.parseKey(key).type, 'ecdsa-sha2-nistp256');
}

/** The product's own use of these packages. */
const product = {
  ioredis(load) {
    const { Redis } = load('libs/store')('ioredis');
    new Redis({ lazyConnect: true }).disconnect();
  },
  bullmq: (load) => assert.equal(typeof load('libs/queue')('bullmq').Worker, 'function'),
  dockerode(load) {
    const Docker = load('apps/worker')('dockerode');
    assert.equal(typeof new Docker({ socketPath: '/nonexistent' }).ping, 'function');
  },
  /** Renders the page: its template engine is a peer of a peer that an install can leave out. */
  async 'bull-board'(load) {
    const require = load('apps/dashboard');
    const { createBullBoard } = require('@bull-board/api');
    const { KoaAdapter } = require('@bull-board/koa');
    const Koa = require('koa');
    const adapter = new KoaAdapter();
    adapter.setBasePath('/queues');
    createBullBoard({ queues: [], serverAdapter: adapter });
    const app = new Koa();
    app.silent = true;
    const server = app.use(adapter.registerPlugin()).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    try {
      const answer = await fetch(`http://127.0.0.1:${server.address().port}/queues`);
      const page = await answer.text();
      assert.equal(answer.status, 200, page);
      assert.match(page, /<!doctype html>/i);
    } finally {
      server.close();
    }
  },
};

/**
 * Packages with an install script that no smoke test uses.
 *
 * @param {string[]} names
 */
export const unproved = (names) => names.filter((name) => !(name in smokes));

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder] = process.argv.slice(2);
  const load = (workspace) => createRequire(join(folder, workspace, 'package.json'));
  const lock = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8'));
  const names = withInstallScript(lock);
  const missing = unproved(names);
  if (missing.length > 0) {
    throw new Error(`Add to scripts/lock-smoke.mjs how the product uses ${missing.join(', ')}.`);
  }
  const isProduction = process.argv.includes('--production');
  const isDev = (name) => lock.packages[`node_modules/${name}`]?.dev === true;
  const used = names.filter((name) => !isProduction || !isDev(name));
  for (const [name, use] of [
    ...used.map((name) => [name, smokes[name]]),
    ...Object.entries(product),
  ]) {
    try {
      await use(load, folder);
    } catch (error) {
      console.error(`${name} does not work: ${error.message}`);
      process.exitCode = 1;
    }
  }
}
