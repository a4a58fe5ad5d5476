import type { Template } from '@ephemera/domain';
import { z } from './openapi-zod.ts';

/** A template in the control API, with its current capacity. */
const templateResourceSchema = z
  .object({
    name: z.string().describe('Name in `ephemera.yml`.'),
    title: z.string().optional().describe('What visitors see in place of the name.'),
    description: z.string().optional().describe('What the template is.'),
    imageAllow: z.array(z.string()).optional().openapi({
      description: 'Patterns of the images that a creation may name. Absent: none.',
    }),
    isDefault: z.boolean().describe('Whether a start without a name uses this template.'),
    port: z.int().openapi({ description: 'The main port.' }),
    ports: z.record(z.string(), z.int()).describe('All ports by name.'),
    timeout: z.number().openapi({ description: 'Time to live in seconds, counted from ready.' }),
    maxTimeout: z
      .number()
      .openapi({ description: 'Maximum lifetime in seconds, counted from creation.' }),
    idleTimeout: z
      .number()
      .optional()
      .openapi({ description: 'Idle timeout in seconds. Absent: none.' }),
    limits: z.object({
      memory: z.int().openapi({ description: 'Memory limit in bytes.' }),
      cpus: z.number().describe('CPU limit.'),
      pids: z.int().describe('Limit of processes and threads.'),
    }),
    instances: z.int().openapi({ description: 'Number of live instances, warm ones included.' }),
    maxInstances: z
      .int()
      .optional()
      .openapi({ description: 'Limit of the template. Absent: only the hosts limit it.' }),
    queued: z.int().openapi({ description: 'Length of the start queue.' }),
    whenFull: z.enum(['queue', 'refuse']).describe('What happens to a start beyond the capacity.'),
    isFull: z.boolean().openapi({ description: 'Whether a start would be queued or refused now.' }),
    pool: z.object({
      size: z.int().openapi({ description: 'Desired number of warm instances.' }),
      warm: z.int().openapi({ description: 'Number of warm instances that can be claimed.' }),
    }),
  })
  .openapi('Template');

export type TemplateResource = z.infer<typeof templateResourceSchema>;

export const templateListSchema = z
  .object({ items: z.array(templateResourceSchema) })
  .openapi('TemplateList');

/** Number of instances and free capacity of the hosts. Absent: unlimited. */
export const statsSchema = z
  .object({
    instances: z.int().describe('Number of live instances.'),
    available: z
      .int()
      .optional()
      .describe('Number of instances that can still start. Absent: unlimited.'),
    capacity: z
      .int()
      .optional()
      .describe(
        'Number of instances that the live hosts without a cordon can hold. Absent: unlimited.',
      ),
  })
  .openapi('Stats');

export type StatsResource = z.infer<typeof statsSchema>;

/** Current data of a template. */
interface Present {
  readonly isDefault: boolean;
  readonly instances: number;
  readonly queued: number;
  readonly wanted: number;
  readonly warm: number;
  /** Free capacity of the hosts, in instances. Undefined: unlimited. */
  readonly available: number | undefined;
}

export function toTemplateResource(template: Template, present: Present): TemplateResource {
  const { name, title, description, port, ports, timeout, maxTimeout, idleTimeout, limits } =
    template;
  const { imageAllow, maxInstances, whenFull } = template;
  const { isDefault, instances, queued, wanted, warm, available } = present;
  return {
    name,
    title,
    description,
    ...(imageAllow && { imageAllow: [...imageAllow] }),
    isDefault,
    port,
    ports,
    timeout: timeout / 1000,
    maxTimeout: maxTimeout / 1000,
    idleTimeout: idleTimeout === undefined ? undefined : idleTimeout / 1000,
    limits,
    instances,
    maxInstances,
    queued,
    whenFull,
    isFull: queued > 0 || available === 0 || instances >= (maxInstances ?? Infinity),
    pool: { size: wanted, warm },
  };
}
