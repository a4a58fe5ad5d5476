import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { GUARDS, withoutGuards } from '../src/steps/guards.ts';

const root = join(import.meta.dirname, '../../..');
const scripts = join(root, 'libs/store/src/scripts');

// A guard that has moved would be left in, and a run without it would show nothing.
test.each(Object.entries(GUARDS))('%s is found where it is to be taken away', (name, patches) => {
  for (const { file, lua } of patches) {
    const path = join(root, file);
    const source = readFileSync(path, 'utf8');
    expect(withoutGuards(path, source, [name])).not.toBe(source);
    if (lua === undefined) continue;
    const texts = readdirSync(scripts).map((text) => readFileSync(join(scripts, text), 'utf8'));
    expect(texts.filter((text) => text.includes(lua))).toHaveLength(1);
  }
});
