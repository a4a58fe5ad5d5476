import { expect, test } from 'vitest';
import type { ConfigError } from './environment.ts';
import { parseTemplates } from './template-config.ts';
import { loadWebhooks, parseWebhooks } from './webhook-config.ts';

const yaml = (...webhooks: string[]) =>
  ['templates: {demo: {image: demo, port: 80}}', 'webhooks:', ...webhooks].join('\n');

test('a secret stands in the file or in the environment', () => {
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

test('every fault is told at once with its path, to proxies and workers alike', () => {
  const text = yaml(
    '- {name: A, url: "ftp://a.example/", secret: short, event: [gone]}',
    '- {name: b, url: "http://b.example/"}',
    '- {name: b, url: "http://b.example/", secretEnv: X, events: [born]}',
  );
  for (const parse of [() => parseWebhooks(text, {}), () => parseTemplates(text)]) {
    try {
      parse();
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
  }
});

test('two of one name and a variable without a secret are refused', () => {
  const twice = yaml(
    ...['a', 'a'].map((name) => `- {name: ${name}, url: "http://a.example/", secretEnv: X}`),
  );
  expect(() => parseTemplates(twice)).toThrow('webhooks.1.name: "a" names another webhook already');
  const once = yaml('- {name: a, url: "http://a.example/", secretEnv: X}');
  expect(() => parseWebhooks(once, { X: 'short' })).toThrow('webhooks.0.secretEnv: the variable X');
  expect(() => parseTemplates(once)).not.toThrow();
});

test('no file is no webhook', () => {
  expect(loadWebhooks('/nonexistent/ephemera.yml', {})).toEqual([]);
});
