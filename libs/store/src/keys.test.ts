import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { keysOf } from './keys.ts';

/** Every key, with the placeholders of SCHEMA.md as parameters. */
function allKeys(): string[] {
  const keys = keysOf('ns') as unknown as Record<string, unknown>;
  const names: Record<string, string[]> = {
    route: ['<id>'],
    instance: ['<id>'],
    name: ['<name>'],
    claim: ['<uuid>'],
    log: ['<id>'],
    warning: ['<kind>', '<id>'],
    rpcReplies: ['<replica>'],
    rate: ['<points>-<seconds>:<account>'],
    grant: ['<grant>'],
    turn: ['<task>'],
    pool: ['<fingerprint>'],
    warm: ['<fingerprint>'],
    templateInstances: ['<template>'],
    templateQueue: ['<template>'],
    scheduledMinimum: ['<template>', '<entry>'],
  };
  const apart = ['namespace', 'routePrefix', 'registrationPrefix', 'queuePrefix'];
  return Object.entries(keys)
    .filter(([name]) => !apart.includes(name))
    .map(([name, key]) => {
      if (typeof key === 'string') return key;
      return (key as (...parts: string[]) => string)(...(names[name] ?? ['<host>']));
    });
}

test('every key starts with the namespace in braces, for one hash slot', () => {
  for (const key of allKeys()) expect(key).toMatch(/^\{ns\}:[a-z]/);
  expect(keysOf('ns').route('x').startsWith(keysOf('ns').routePrefix)).toBe(true);
  const { registration, registrationPrefix } = keysOf('ns');
  expect(registration('x').startsWith(registrationPrefix)).toBe(true);
});

test('all keys differ', () => {
  expect(new Set(allKeys()).size).toBe(allKeys().length);
});

test('SCHEMA.md lists every key', () => {
  const schema = readFileSync(join(import.meta.dirname, 'SCHEMA.md'), 'utf8');
  const missing = allKeys().filter((key) => !schema.includes(`\`${key.replace('{ns}:', '')}\``));
  expect(missing).toEqual([]);
});
