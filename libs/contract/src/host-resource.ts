import { z } from './openapi-zod.ts';

const time = z.iso.datetime({ offset: true });

const capacitySchema = z.object({
  instances: z.int().optional().describe('Number of instances. Absent: unlimited.'),
  memory: z.number().optional().openapi({ description: 'Bytes of memory. Absent: unlimited.' }),
  cpus: z.number().optional().describe('CPU cores. Absent: unlimited.'),
});

/** A Docker host in the control API. */
export const hostSchema = z
  .object({
    name: z.string().openapi({ description: '`EPHEMERA_HOST_ID` of its workers.' }),
    alive: z.boolean().describe('Whether its last heartbeat is recent.'),
    lastSeenAt: time.describe('Last heartbeat of its workers.'),
    networks: z.array(z.string()).describe('Registered networks of its instances, as CIDR.'),
    instances: z.int().openapi({ description: 'Live instances on it, warm ones included.' }),
    capacity: capacitySchema.describe('What it offers.'),
    used: capacitySchema.describe('What is reserved on it.'),
    cordon: z
      .object({
        since: time.describe('When it was cordoned.'),
        drain: z
          .object({
            deadline: time.optional().openapi({
              description:
                'When the instances that are left are ended. Absent: each at its own deadline.',
            }),
            done: z
              .boolean()
              .describe(
                'Whether a worker of the host has found no instance and no container left, so that the machine may be switched off.',
              ),
          })
          .optional()
          .openapi({ description: 'Present while it is being drained.' }),
      })
      .optional()
      .openapi({ description: 'Present if it starts no further instances.' }),
  })
  .openapi('Host');

export type HostResource = z.infer<typeof hostSchema>;

export const hostListSchema = z.object({ items: z.array(hostSchema) }).openapi('HostList');

/** The body of `POST /v1/hosts/{host}/drain`. Unknown fields are refused. */
export const drainRequestSchema = z
  .strictObject({
    timeout: z.int().min(0).max(2_592_000).optional().openapi({
      description:
        'Seconds from now until the instances that are left are ended. Absent: a drain that runs keeps its deadline; else each instance keeps its own.',
    }),
  })
  .openapi('DrainHost');

/** The data of a host. Times are epoch milliseconds. */
interface Host {
  readonly host: string;
  readonly alive: boolean;
  readonly seenAt: number;
  readonly networks: readonly string[];
  readonly instances: number;
  readonly max: HostResource['capacity'];
  readonly used: HostResource['used'];
  readonly cordon:
    | {
        readonly since: number;
        readonly drain?:
          { readonly deadline?: number | undefined; readonly isEmpty: boolean } | undefined;
      }
    | undefined;
}

export function toHostResource(host: Host): HostResource {
  const { alive, seenAt, networks, instances, max, used, cordon } = host;
  const { since, drain } = cordon ?? {};
  return {
    name: host.host,
    alive,
    lastSeenAt: iso(seenAt),
    networks: [...networks],
    instances,
    capacity: max,
    used,
    ...(since !== undefined && {
      cordon: {
        since: iso(since),
        ...(drain && {
          drain: {
            ...(drain.deadline !== undefined && { deadline: iso(drain.deadline) }),
            done: drain.isEmpty && instances === 0,
          },
        }),
      },
    }),
  };
}

const iso = (ms: number): string => new Date(ms).toISOString();
