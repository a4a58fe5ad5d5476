import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { findingsIn } from './check-openapi.mjs';

const OPENAPI = join(import.meta.dirname, '../docs/openapi.json');

/** Writes the document with a change. */
function changed(change) {
  const folder = mkdtempSync(join(tmpdir(), 'openapi-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const document = JSON.parse(readFileSync(OPENAPI, 'utf8'));
  change(document);
  const file = join(folder, 'openapi.json');
  writeFileSync(file, JSON.stringify(document));
  return file;
}

test('the committed document has no finding', async () => {
  expect(await findingsIn(OPENAPI)).toEqual([]);
});

test.each([
  [
    'an example that does not conform to its schema',
    (document) => {
      document.paths['/v1/instances'].post.requestBody.content['application/json'].example = {
        timeout: 'long',
      };
    },
    /no-invalid-media-type-examples/,
  ],
  [
    'two operations with one operationId',
    ({ paths }) => {
      paths['/v1/stats'].get.operationId = paths['/v1/instances'].get.operationId;
    },
    /operation-operationId-unique/,
  ],
  [
    'an unknown tag',
    ({ paths }) => {
      paths['/v1/stats'].get.tags = ['Other'];
    },
    /operation-tag-defined/,
  ],
  [
    'a response that is no response object',
    ({ paths }) => {
      paths['/v1/stats'].get.responses['200'] = { content: 1 };
    },
    /swagger-parser/,
  ],
])('finds %s', async (_, change, expected) => {
  expect((await findingsIn(changed(change))).join('\n')).toMatch(expected);
});
