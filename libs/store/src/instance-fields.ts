import type { EndReason, Hint, Instance, PublishedPorts, State, Template } from '@ephemera/domain';

/** Parses the hash of an instance as a script returns it: field names and values alternating. */
export function readFields(flat: readonly string[]): Instance | undefined {
  const fields: Record<string, string> = {};
  for (let i = 0; i + 1 < flat.length; i += 2) fields[flat[i] ?? ''] = flat[i + 1] ?? '';
  return readInstance(fields);
}

/** Parses the hash of an instance; undefined where it does not exist. */
export function readInstance(fields: Readonly<Record<string, string>>): Instance | undefined {
  const { id, template, state } = fields;
  if (id === undefined || template === undefined || state === undefined) return undefined;
  return {
    id,
    template: JSON.parse(template) as Template,
    state: state as State,
    generation: Number(fields['generation']),
    supersedes: fields['supersedes'] === undefined ? undefined : Number(fields['supersedes']),
    reason: fields['reason'] as EndReason | undefined,
    message: fields['message'] ?? (state === 'starting' ? fields['progress'] : undefined),
    host: fields['host'],
    address: fields['address'],
    ...(fields['published'] !== undefined && {
      published: JSON.parse(fields['published']) as PublishedPorts,
    }),
    timeout: Number(fields['timeout']),
    createdAt: Number(fields['createdAt']),
    startedAt: fields['startedAt'] === undefined ? undefined : Number(fields['startedAt']),
    activeAt: fields['activeAt'] === undefined ? undefined : Number(fields['activeAt']),
    lastTransitionAt: Number(fields['lastTransitionAt']),
    expiresAt: Number(fields['expiresAt']),
    // Once another instance has its name, nothing prolongs the lease.
    maxExpiresAt: Number(fields[fields['replacedBy'] === undefined ? 'maxExpiresAt' : 'expiresAt']),
    url: fields['url'] ?? '',
    env: JSON.parse(fields['env'] ?? '{}') as Record<string, string>,
    metadata: JSON.parse(fields['metadata'] ?? '{}') as Record<string, string>,
    ...(fields['hint'] !== undefined && { hint: JSON.parse(fields['hint']) as Hint }),
    ...(fields['path'] !== undefined && { path: fields['path'] }),
    ...(fields['token'] !== undefined && { token: fields['token'] }),
    ...(fields['accessHash'] !== undefined && { accessHash: fields['accessHash'] }),
    ...(fields['owner'] !== undefined && { owner: fields['owner'] }),
    ...(fields['name'] !== undefined && { name: fields['name'] }),
    ...(fields['pool'] !== undefined && { pool: fields['pool'] }),
    ...(fields['verifiedRunId'] !== undefined && { verifiedRunId: fields['verifiedRunId'] }),
    ...(fields['pooledAs'] !== undefined && { pooledAs: Number(fields['pooledAs']) }),
    ...(fields['queued'] !== undefined && { queued: true }),
    ...(fields['signature'] !== undefined && { signature: fields['signature'] }),
  };
}

/** Serializes an instance for `HSET`: field names and values alternating. */
export function writeFields(instance: Instance): string[] {
  const flat: string[] = [];
  for (const [name, value] of Object.entries(instance)) {
    if (value === undefined) continue;
    flat.push(name, typeof value === 'object' ? JSON.stringify(value) : String(value));
  }
  return flat;
}
