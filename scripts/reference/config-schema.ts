import { configFileSchema } from '@ephemera/config';
import { z } from 'zod';

/**
 * The JSON Schema of the configuration file, for editors. It is generated from the rules that the
 * processes check, without those that concern several fields.
 */
export function configSchema(): string {
  const schema = z.toJSONSchema(configFileSchema, { io: 'input', unrepresentable: 'any' });
  return JSON.stringify({
    ...schema,
    title: 'Configuration file of Ephemera',
    // The top level may hold anchors.
    patternProperties: { '^x-': {} },
  });
}
