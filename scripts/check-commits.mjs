import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';

/** Only commits that contain this file are checked. Older commits are exempt. */
const SCRIPT = 'scripts/check-commits.mjs';
const MAX_COMMITS = 50;
const MAX_SUBJECT_LENGTH = 72;
const TYPES = 'build|chore|ci|docs|feat|fix|perf|refactor|revert|style|test';
const HEADER = new RegExp(`^(?:${TYPES})(?:\\([a-z0-9]+(?:[,/-][a-z0-9]+)*\\))?!?: (\\S.*)$`);

/** Words that a subject must not start with, because they are not verbs. */
const NOT_A_VERB = new Set(
  'a all an and another any as at both by each every for from how if in it its less many more most no not of on one only some that the their there these this those to two what when where which who whose why with without'.split(
    ' ',
  ),
);
/** Imperative verbs that end in -ed, -ing or -s. */
const IMPERATIVE = new Set(
  'alias bring embed exceed feed focus need ping proceed seed shed speed spring string succeed'.split(
    ' ',
  ),
);

/**
 * Problems of one commit message. The form is `type(scope): subject` of Conventional Commits 1.0.0
 * with an imperative subject. No dictionary is used: the check refuses articles, pronouns and other
 * function words, and verbs that end in -ed, -ing or -s.
 *
 * @param {string} message the subject, and a body after an empty line
 * @returns {string[]} one sentence for each problem
 */
export function commitProblems(message) {
  const [header = '', separator = ''] = message.split('\n');
  const problems = [];
  if (header.length > MAX_SUBJECT_LENGTH) {
    problems.push(`The first line has ${header.length} characters; use at most 72.`);
  }
  if (separator !== '') problems.push('Put an empty line between the subject and the body.');
  const [, subject] = HEADER.exec(header) ?? [];
  if (subject === undefined) {
    problems.push(`Write "type(scope): subject" with one of the types ${TYPES}.`);
    return problems;
  }
  const [, word = ''] = /^([\w-]+)/.exec(subject) ?? [];
  if (!isImperative(word)) {
    problems.push(`Begin the subject with a lowercase verb in the imperative, not "${word}".`);
  }
  if (subject.endsWith('.')) problems.push('Do not end the subject with a full stop.');
  return problems;
}

function isImperative(word) {
  if (!/^[a-z]/.test(word) || NOT_A_VERB.has(word)) return false;
  return IMPERATIVE.has(word) || !/(?:ed|ing|[^s]s)$/.test(word);
}

/**
 * Checks the commits since origin/main, or the last 50 where it is unknown. Exempt are merges,
 * commits of bots (their subjects hold package names) and commits whose tree has no copy of this
 * script, because they are older than the rule.
 *
 * @param {string} root of the working copy
 * @returns {string[]} one line for each problem, with the abbreviated commit id
 */
export function checkCommits(root) {
  const git = (args, input) =>
    spawnSync('git', args, { cwd: root, encoding: 'utf8', input, maxBuffer: 64 * 1024 * 1024 });
  if (git(['rev-parse', '--verify', '--quiet', 'HEAD']).status !== 0) return [];
  const isBaseKnown = git(['rev-parse', '--verify', '--quiet', 'origin/main']).status === 0;
  // --header prints the raw commits, which name their parents even where a shallow clone cuts them.
  const listed = git([
    'rev-list',
    '--header',
    '--no-merges',
    `--max-count=${MAX_COMMITS}`,
    'HEAD',
    ...(isBaseKnown ? ['^origin/main'] : []),
  ]);
  if (listed.status !== 0) throw new Error(`git rev-list failed: ${listed.stderr}`);
  const commits = listed.stdout.split('\0').filter(Boolean).map(parseCommit);
  const scripts = commits.map(({ id }) => `${id}:${SCRIPT}\n`).join('');
  const isScriptIn = git(['cat-file', '--batch-check'], scripts)
    .stdout.split('\n')
    .map((line) => !line.endsWith(' missing'));
  return commits
    .filter(({ isMerge, isBot }, index) => !isMerge && !isBot && isScriptIn[index])
    .flatMap(({ id, message }) =>
      commitProblems(message).map(
        (problem) => `${id.slice(0, 10)} "${message.split('\n')[0]}": ${problem}`,
      ),
    );
}

/** @param {string} raw the id, the headers, and the message indented by four spaces */
function parseCommit(raw) {
  const end = raw.indexOf('\n\n');
  const headers = raw.slice(0, end);
  const message = raw.slice(end + 2).replaceAll(/^ {4}/gm, '');
  return {
    id: headers.split('\n')[0],
    isMerge: (headers.match(/^parent /gm) ?? []).length > 1,
    isBot: /^author .*\[bot\]/m.test(headers),
    message: message.trimEnd(),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const problems = checkCommits(join(import.meta.dirname, '..'));
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) {
    console.error('Reword these commits: git rebase -i, then "reword". See CONTRIBUTING.md.');
  }
  process.exitCode = problems.length === 0 ? 0 : 1;
}
