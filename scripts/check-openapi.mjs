import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import SwaggerParser from '@apidevtools/swagger-parser';
import { createConfig, lint } from '@redocly/openapi-core';

/**
 * What the linter of Redocly and the parser of the Swagger tools find in an OpenAPI document. Both
 * read only the file. Warnings count: a generated document can be correct.
 *
 * @param {string} file path of the document
 * @returns {Promise<string[]>} one line for each finding
 */
export async function findingsIn(file) {
  const config = await createConfig({ extends: ['recommended'], rules: RULES });
  const problems = await lint({ ref: file, config });
  const linted = problems.map(
    ({ ruleId, message, location }) =>
      `${location[0]?.pointer ?? '#'}: ${message.replace(/\s*\n\s*/g, ' ')} (${ruleId})`,
  );
  const parsed = await SwaggerParser.validate(file, { resolve: { external: false } }).then(
    () => [],
    (error) => [`${error.message.replace(/\s*\n\s*/g, ' ')} (swagger-parser)`],
  );
  return [...linted, ...parsed];
}

/** Rules in addition to the recommended ones. */
const RULES = {
  'operation-operationId': 'error',
  'operation-singular-tag': 'error',
  'operation-tag-defined': 'error',
  'no-invalid-media-type-examples': 'error',
  'no-invalid-parameter-examples': 'error',
  'no-invalid-schema-examples': 'error',
  // The document of the default ports names localhost.
  'no-server-example.com': 'off',
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = process.argv[2] ?? join(import.meta.dirname, '../docs/openapi.json');
  const findings = await findingsIn(file);
  for (const finding of findings) console.error(finding);
  process.exitCode = findings.length === 0 ? 0 : 1;
}
