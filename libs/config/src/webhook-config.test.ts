import { expect, test } from 'vitest';
import type { ConfigError } from './environment.ts';
import { parseTemplates } from './template-config.ts';
import { resolveWebhooks } from './webhook-config.ts';

const parseWebhooks = (text: string, environment: Record<string, string>) =>
  resolveWebhooks(parseTemplates(text).webhooks, environment);

const yaml = (...webhooks: string[]) =>
  ['templates: {demo: {image: demo, port: 80}}', 'webhooks:', ...webhooks].join('\n');

test('a secret is in the file or in the environment', () => {
  const text = yaml(
    '- {name: a, url: "https://a.example/", secret: 0123456789abcdef, events: [gone, failed]}',
    '- {name: b, url: "http://b.example/", secretEnv: HOOK_SECRET, templates: [demo]}',
  );
  expect(parseWebhooks(text, { HOOK_SECRET: 'fedcba9876543210' })).toEqual([
    {
      name: 'a',
      url: 'https://a.example/',
      secret: '0123456789abcdef',
      events: ['gone', 'failed'],
      templates: undefined,
    },
    {
      name: 'b',
      url: 'http://b.example/',
      secret: 'fedcba9876543210',
      events: undefined,
      templates: ['demo'],
    },
  ]);
});

test('all errors are reported at once with their paths', () => {
  const text = yaml(
    '- {name: A, url: "ftp://a.example/", secret: short, event: [gone]}',
    '- {name: b, url: "http://b.example/"}',
    '- {name: b, url: "http://b.example/", secretEnv: X, events: [born]}',
  );
  try {
    parseTemplates(text);
    expect.unreachable();
  } catch (error) {
    const paths = (error as ConfigError).faults.map(({ path }) => path).sort();
    expect(paths).toEqual(
      [
        'webhooks.0.event',
        'webhooks.0.name',
        'webhooks.0.secret',
        'webhooks.0.url',
        'webhooks.1.secret',
        'webhooks.2.events.0',
      ].sort(),
    );
  }
});

test('a secret of Standard Webhooks must be base64 after its prefix', () => {
  const parse = (secret: string) =>
    parseWebhooks(yaml(`- {name: a, url: "http://a.example/", secret: '${secret}'}`), {});
  expect(parse('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')).toHaveLength(1);
  expect(() => parse('whsec_no base64 at all')).toThrow(
    /webhooks\.0\.secret: must be base64 after/,
  );
});

test('a duplicate name and an unset secret variable are refused', () => {
  const twice = yaml(
    ...['a', 'a'].map((name) => `- {name: ${name}, url: "http://a.example/", secretEnv: X}`),
  );
  expect(() => parseTemplates(twice)).toThrow(
    'webhooks.1.name: "a" is already the name of another webhook',
  );
  const once = yaml('- {name: a, url: "http://a.example/", secretEnv: X}');
  expect(() => parseWebhooks(once, { X: 'short' })).toThrow(
    'webhooks.0.secretEnv: the environment variable X must have at least 16 characters',
  );
  expect(() => parseTemplates(once)).not.toThrow();
});
