import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { keysOf } from './keys.ts';

/** Every key, with its parameters as the README writes them. */
function written(): string[] {
  const keys = keysOf('ns') as unknown as Record<string, unknown>;
  const names: Record<string, string[]> = {
    route: ['<id>'],
    instance: ['<id>'],
    log: ['<id>'],
    rpcReplies: ['<replica>'],
    rate: ['<points>-<seconds>:<account>'],
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

test('every key carries the namespace in braces, so that one hash slot holds them all', () => {
  for (const key of written()) expect(key).toMatch(/^\{ns\}:[a-z]/);
  expect(keysOf('ns').route('x').startsWith(keysOf('ns').routePrefix)).toBe(true);
  const { registration, registrationPrefix } = keysOf('ns');
  expect(registration('x').startsWith(registrationPrefix)).toBe(true);
});

test('no two keys are the same', () => {
  expect(new Set(written()).size).toBe(written().length);
});

test('every key is told of in the README beside it', () => {
  const readme = readFileSync(join(import.meta.dirname, 'README.md'), 'utf8');
  const missing = written().filter((key) => !readme.includes(`\`${key.replace('{ns}:', '')}\``));
  expect(missing).toEqual([]);
});
