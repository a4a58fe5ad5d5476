import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';

import { checkCommits, commitProblems } from './check-commits.mjs';

test.each([
  'feat(cli): add completion for fish',
  'fix: pass the deadline to the worker',
  'fix(proxy,dashboard)!: need a token\n\nThe reason.',
  'revert: embed the library again',
  `docs: ${'x'.repeat(66)}`,
])('%j is accepted', (message) => expect(commitProblems(message)).toEqual([]));

test.each([
  ['add completion', 'Write "type(scope): subject"'],
  ['feature: add completion', 'Write "type(scope): subject"'],
  ['feat(CLI): add completion', 'Write "type(scope): subject"'],
  ['fixup! feat: add completion', 'Write "type(scope): subject"'],
  [`docs: ${'x'.repeat(67)}`, '73 characters'],
  ['docs: the figures of the day', 'not "the"'],
  ['fix: added a deadline', 'not "added"'],
  ['fix: adds a deadline', 'not "adds"'],
  ['fix: adding a deadline', 'not "adding"'],
  ['fix: Add a deadline', 'not "Add"'],
  ['fix: add a deadline.', 'full stop'],
  ['fix: add a deadline\nfor all', 'empty line'],
])('%j is refused', (message, problem) => {
  expect(commitProblems(message).join(' ')).toContain(problem);
});

test('commits older than the script, merges and commits of bots are exempt', () => {
  const { git, folder, commit } = repository();
  commit('whatever was usual before');
  addScript(folder);
  commit('ci: check commit messages');
  git('checkout', '-q', '-b', 'branch');
  commit('The wrong form');
  commit('chore(deps): Bumps a package.', '--author=dependabot[bot] <bot@example.com>');
  git('checkout', '-q', '-');
  git('merge', '-q', '--no-ff', '-m', 'Merge branch', 'branch');
  const problems = checkCommits(folder);
  expect(problems).toHaveLength(1);
  expect(problems[0]).toMatch(/^[0-9a-f]{10} "The wrong form": Write/);
});

test('only the commits since origin/main are checked where it is known', () => {
  const { git, folder, commit } = repository();
  addScript(folder);
  commit('The wrong form');
  git('update-ref', 'refs/remotes/origin/main', 'HEAD');
  commit('also wrong');
  expect(checkCommits(folder)).toEqual([expect.stringContaining('"also wrong"')]);
});

test('a shallow clone whose only commit is a merge passes', () => {
  const { git, folder, commit } = repository();
  addScript(folder);
  commit('ci: check commit messages');
  git('checkout', '-q', '-b', 'branch');
  commit('fix: add a deadline');
  git('checkout', '-q', '-');
  git('merge', '-q', '--no-ff', '-m', 'Merge branch', 'branch');
  const shallow = temporaryFolder();
  git('clone', '-q', '--depth', '1', `file://${folder}`, shallow);
  git('-C', shallow, 'remote', 'remove', 'origin');
  expect(checkCommits(shallow)).toEqual([]);
});

test('a folder without a history passes', () => {
  const folder = temporaryFolder();
  expect(checkCommits(folder)).toEqual([]);
  execFileSync('git', ['init', '-q', folder]);
  expect(checkCommits(folder)).toEqual([]);
});

function temporaryFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'ephemera-commits-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

function addScript(folder) {
  mkdirSync(join(folder, 'scripts'));
  writeFileSync(join(folder, 'scripts/check-commits.mjs'), '');
}

function repository() {
  const folder = temporaryFolder();
  const identity = ['-c', 'user.name=A', '-c', 'user.email=a@example.com'];
  const git = (...args) =>
    execFileSync('git', [...identity, '-c', 'commit.gpgsign=false', ...args], { cwd: folder });
  git('init', '-q', '-b', 'main');
  const commit = (message, ...args) => {
    git('add', '-A');
    git('commit', '-q', '--allow-empty', '-m', message, ...args);
  };
  return { folder, git, commit };
}
