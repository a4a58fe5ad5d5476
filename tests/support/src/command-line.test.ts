import { describe, expect, test } from 'vitest';
import { parseCommandLine } from './command-line.ts';

const spec = {
  command: 'npm run test:faults --',
  summary: 'Injects faults.',
  scenarios: { redis: 'Redis fails.', docker: 'The daemon fails.' },
  options: {
    seed: { kind: 'number', help: 'Seed of the random choices.', default: 1 },
    runs: { kind: 'number', help: 'Runs per step.' },
    step: { kind: 'list', help: 'Steps.', of: ['create', 'kill', 'killed, with its file'] },
    side: { kind: 'choice', help: 'Side.', of: ['client', 'container'] },
    quick: { kind: 'flag', help: 'One round.' },
  },
} as const;

const parse = (...args: string[]) => parseCommandLine(spec, args);

describe('a valid command line', () => {
  test('has all scenarios and the defaults if it is empty', () => {
    expect(parse()).toEqual({
      kind: 'run',
      names: ['redis', 'docker'],
      values: { seed: 1, runs: undefined, step: [], side: undefined, quick: false },
    });
  });

  test('has the given scenarios and values', () => {
    const parsed = parse('docker', '--seed', '7', '--runs=20', '--side', 'client', '--quick');
    expect(parsed).toMatchObject({
      names: ['docker'],
      values: { seed: 7, runs: 20, side: 'client', quick: true },
    });
  });

  test('accepts comma-separated lists, repeated options, and names with a comma', () => {
    const parsed = parse('--step', 'create,kill', '--step', 'killed, with its file');
    expect(parsed).toMatchObject({
      values: { step: ['create', 'kill', 'killed, with its file'] },
    });
  });
});

describe('an invalid command line', () => {
  const errors: [what: string, args: string[], message: RegExp][] = [
    ['an unknown scenario', ['radis'], /unknown scenario: radis\n.*redis, docker/],
    ['an unknown option', ['--sead', '1'], /'--sead'.*\n.*--seed, --runs, --step/],
    ['an option without its value', ['--seed'], /'--seed/],
    ['an invalid number', ['--seed', 'x'], /--seed must be a number .*"x"/],
    ['an empty number', ['--runs='], /--runs must be a number/],
    ['a negative number', ['--seed=-1'], /--seed must be a number/],
    ['an unknown name in a list', ['--step', 'create,move'], /--step: move\n.*create, kill/],
    ['an unknown choice', ['--side', 'both'], /--side: both\n.*client, container/],
  ];
  test.each(errors)('%s is an error that lists what exists', (_, args, message) => {
    const parsed = parse(...args);
    expect(parsed.kind).toBe('error');
    expect('text' in parsed && parsed.text).toMatch(message);
    expect('text' in parsed && parsed.text).toContain('npm run test:faults -- --help');
  });

  test('an argument is refused if a command has no scenarios', () => {
    const { command, summary, options } = spec;
    const parsed = parseCommandLine({ command, summary, options }, ['redis']);
    expect(parsed).toMatchObject({
      kind: 'error',
      text: expect.stringContaining('unexpected argument: redis') as string,
    });
  });
});

test('the help names every scenario, option, value and default', () => {
  const parsed = parse('--help');
  expect(parsed.kind).toBe('help');
  const text = 'text' in parsed ? parsed.text : '';
  for (const item of ['redis', 'The daemon fails.', '--seed N', 'Default: 1', 'container']) {
    expect(text).toContain(item);
  }
});
