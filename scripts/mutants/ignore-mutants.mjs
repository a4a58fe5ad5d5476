/**
 * A plugin for Stryker that leaves mutants out: all but a sample, and the words of messages. A mutant
 * in a message changes what a person reads, not what the code allows.
 *
 * `mutants.sample.json` in the working directory has the share of single-line expressions and
 * statements that are mutated, 0 to 1, and the seed that selects them.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

const { share, seed } = JSON.parse(readFileSync('mutants.sample.json', 'utf8'));

/** Names of properties and variables that hold words for people. */
const WORDS = new Set(['detail', 'message', 'problem', 'hint', 'fault', 'title', 'help']);
/** Functions whose texts are for people. */
const SPEAKERS = new Set(['describe', 'info', 'warn', 'error', 'debug', 'refused', 'refusal']);

/** A number from 0 to 1 that only the seed and the line decide. */
function drawn(line) {
  return createHash('sha256').update(`${seed} ${line}`).digest().readUInt32BE() / 2 ** 32;
}

function isText({ type }) {
  return type === 'StringLiteral' || type === 'TemplateLiteral';
}

/** Whether a text is a message: of an error, of a log line, or in a field of that name. */
function isMessage(path) {
  if (!isText(path.node)) return false;
  for (let at = path.parentPath; at; at = at.parentPath) {
    const { node } = at;
    if (node.type === 'NewExpression') return /Error$/.test(node.callee.name ?? '');
    if (node.type === 'CallExpression') {
      return SPEAKERS.has(node.callee.property?.name ?? node.callee.name);
    }
    if (node.type === 'ObjectProperty') return WORDS.has(node.key.name ?? node.key.value);
    if (node.type === 'VariableDeclarator') return WORDS.has(node.id.name);
    const continues = ['BinaryExpression', 'ConditionalExpression', 'TemplateLiteral'];
    if (!continues.includes(node.type)) return false;
  }
  return false;
}

const ignorer = {
  shouldIgnore(path) {
    if (isMessage(path)) return 'a message for people';
    const { loc, type } = path.node;
    const isUnit = /Statement$|Declaration$|Property$|Element$|Expression$/.test(type);
    if (!isUnit || !loc || loc.start.line !== loc.end.line) return undefined;
    return drawn(loc.start.line) < share ? undefined : 'not in the sample';
  },
};

export const strykerPlugins = [{ kind: 'Ignore', name: 'ephemera', value: ignorer }];
