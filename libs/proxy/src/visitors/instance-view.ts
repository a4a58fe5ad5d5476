import { problemOf } from '@ephemera/contract';
import { isDead, isServing, expiryNoticeMs } from '@ephemera/domain';
import type { Instance, Route } from '@ephemera/domain';
import { z } from 'zod';
import { isStarting, viewStart } from '../waiting/start-events.ts';
import type { Visitor } from './visitor-access.ts';

/** What a visitor may know about an instance, as JSON. */
export const instanceViewSchema = z.object({
  id: z.string().describe('Id of the instance.'),
  title: z.string().optional().describe('Title of its template.'),
  state: z
    .enum(['pending', 'starting', 'ready', 'paused', 'ended'])
    .describe('`ended` also while its container is removed.'),
  text: z.string().describe('The state as a sentence for people.'),
  url: z.string().describe('Its address.'),
  expiresAt: z.iso
    .datetime({ offset: true })
    .optional()
    .describe('Its deadline, once it is ready. It ends earlier if it is idle or ended on request.'),
  secondsLeft: z
    .int()
    .optional()
    .describe('Seconds until `expiresAt`, for clients whose clock may be wrong.'),
  isExpiring: z
    .boolean()
    .optional()
    .describe('Whether the deadline is closer than `notice` of the template.'),
  noticeSeconds: z.int().optional().describe('`notice` of the template, in seconds.'),
  mayRenew: z
    .boolean()
    .describe('Whether this client may renew the lease now: a renewal would move the deadline.'),
  renewSeconds: z
    .int()
    .optional()
    .describe('What a renewal by a visitor moves the deadline to: this many seconds from then.'),
  mayEnd: z.boolean().describe('Whether this client may end it.'),
});

export type InstanceView = z.infer<typeof instanceViewSchema>;

/** A renewal that moves the deadline by less is not offered, ms. */
const MIN_RENEWAL_MS = 1_000;

/** @param now epoch ms of the store's clock */
export function viewInstance(
  instance: Instance,
  route: Route | undefined,
  { role }: Pick<Visitor, 'role'>,
  now: number,
): InstanceView {
  const { id, template, state, url, expiresAt, maxExpiresAt } = instance;
  const { title, visitor } = template;
  const serves = isServing(state);
  const left = expiresAt - now;
  const isOver = isDead(state) || state === 'draining' || (serves && left <= 0);
  const leased = serves && !isOver;
  const isOwner = role === 'owner';
  const renewal = isOwner ? visitor?.renew : undefined;
  const renewed = renewal === undefined ? 0 : Math.min(now + renewal, maxExpiresAt);
  const seconds = (ms: number) => Math.max(0, Math.ceil(ms / 1000));
  return {
    ...{ id, title, url },
    state: isOver ? 'ended' : stateOf(state),
    text: textOf(instance, route, isOver),
    ...(leased && {
      expiresAt: new Date(expiresAt).toISOString(),
      secondsLeft: seconds(left),
      isExpiring: left <= expiryNoticeMs(instance),
      noticeSeconds: seconds(expiryNoticeMs(instance)),
    }),
    mayRenew: leased && renewed > expiresAt + MIN_RENEWAL_MS,
    renewSeconds: renewal === undefined ? undefined : seconds(renewal),
    mayEnd: isOwner && !isOver && visitor?.end === true,
  };
}

function stateOf(state: Instance['state']): Exclude<InstanceView['state'], 'ended'> {
  if (state === 'pending' || state === 'paused' || state === 'ready') return state;
  return 'starting';
}

function textOf(instance: Instance, route: Route | undefined, isOver: boolean): string {
  const { id, state, reason } = instance;
  if (isOver) {
    // Without the message: it may contain lines of a log.
    return problemOf({ kind: 'gone', id, reason: reason ?? 'ttl' }).problem.detail;
  }
  switch (state) {
    case 'ready':
      return 'It is running.';
    case 'paused':
      return instance.template.resume === 'request'
        ? 'It is paused. It resumes when you open it.'
        : 'It is paused.';
    default: {
      const starting = isStarting(route)
        ? route
        : ({ state: 'pending', generation: instance.generation } as const);
      return viewStart(starting, instance).text;
    }
  }
}
