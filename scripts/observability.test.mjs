import { execFileSync } from 'node:child_process';
import { copyFileSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { readYaml } from '../libs/config/src/yaml-text.ts';
import { unpacked } from '../tests/support/src/unpacked.ts';
import { anchorsIn } from './check-links.mjs';
import { metricsPage } from './reference/metrics.ts';

// The alert rules, the configuration and the boards in deploy/prometheus and deploy/grafana, with
// Debian's promtool. tests/e2e/test/boards.test.ts runs every query on a real Prometheus.

const root = join(import.meta.dirname, '..');
const folder = join(root, 'deploy/prometheus');
const rulesFile = join(folder, 'rules.yml');
const readRules = () =>
  readYaml(readFileSync(rulesFile, 'utf8'), z.looseObject({ groups: z.any() }), rulesFile);
const rules = readRules().groups.flatMap((group) => group.rules);

let promtool = '';
beforeAll(async () => {
  promtool = await unpacked('promtool', 'prometheus');
}, 300_000);

/** Returns the output of promtool. Throws with it if a check fails. */
function check(args, cwd = folder) {
  try {
    return execFileSync(promtool, args, { cwd, encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    throw new Error(`${error.stdout}${error.stderr}`, { cause: error });
  }
}

test('promtool accepts the rules and the configurations', () => {
  expect(check(['check', 'rules', 'rules.yml'])).toContain(`${rules.length} rules found`);
  for (const file of ['prometheus.yml', 'local.yml']) {
    // Their token is on the machine of the operator.
    expect(check(['check', 'config', '--syntax-only', file])).toContain('SUCCESS');
  }
});

test('the tests of the rules pass', () => {
  expect(check(['test', 'rules', 'rules.test.yml'])).toContain('SUCCESS');
});

test('every alert has a test that fails without it', () => {
  const copy = mkdtempSync(join(tmpdir(), 'ephemera-rules-'));
  onTestFinished(() => rmSync(copy, { recursive: true }));
  writeFileSync(join(copy, 'rules.yml'), 'groups: []\n');
  copyFileSync(join(folder, 'rules.test.yml'), join(copy, 'rules.test.yml'));
  const { message } = caught(() => check(['test', 'rules', 'rules.test.yml'], copy));
  const expected = [...message.matchAll(/alertname="(\w+)"/g)].map(([, alert]) => alert);
  expect([...new Set(expected)].sort()).toEqual(rules.map(({ alert }) => alert).sort());
});

function caught(act) {
  try {
    act();
  } catch (error) {
    return error;
  }
  return expect.unreachable('it passes without the rules');
}

test('every alert has a severity and a runbook of its own name', () => {
  const guide = readFileSync(join(root, 'docs/guides/operating.md'), 'utf8');
  const anchors = anchorsIn(guide);
  for (const { alert, labels, annotations } of rules) {
    expect(['warning', 'critical']).toContain(labels.severity);
    expect(annotations.runbook).toBe(`docs/guides/operating.md#${alert.toLowerCase()}`);
    expect(anchors, annotations.runbook).toContain(alert.toLowerCase());
  }
  const headings = [...guide.matchAll(/^### (Ephemera[A-Z]\w+)$/gm)].map(([, name]) => name);
  expect(headings.sort()).toEqual(rules.map(({ alert }) => alert).sort());
});

const known = new Set([...metricsPage().matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name));

/** The metrics of a query that no process registers. */
function unknownMetrics(query) {
  return (query.match(/\b(?:ephemera|nodejs|process)_\w+/g) ?? []).filter(
    (name) => !known.has(name) && !known.has(name.replace(/_(bucket|sum|count)$/, '')),
  );
}

test('rules and boards use only documented metrics', () => {
  const boards = globSync('deploy/grafana/dashboards/*.json', { cwd: root });
  const queries = [
    ...rules.map(({ expr }) => expr),
    ...boards.flatMap((file) =>
      JSON.parse(readFileSync(join(root, file), 'utf8')).panels.flatMap(({ targets = [] }) =>
        targets.map(({ expr }) => expr),
      ),
    ),
  ];
  expect(queries.length).toBeGreaterThan(rules.length);
  expect(queries.flatMap(unknownMetrics)).toEqual([]);
  expect(unknownMetrics('rate(ephemera_no_such_total[5m])')).toEqual(['ephemera_no_such_total']);
});
