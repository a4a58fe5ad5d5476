import { problemOf } from '@ephemera/contract';
import { isDead, isServing, expiryNoticeMs } from '@ephemera/domain';
import type { Instance, Route } from '@ephemera/domain';
import { isStarting, viewStart } from '../waiting/start-events.ts';
import type { InstanceView } from './instance-view-schema.ts';
import type { Visitor } from './visitor-access.ts';

/** A renewal that moves the deadline by less is not offered, ms. */
export const MIN_RENEWAL_MS = 1_000;

/** @param now epoch ms of the store's clock */
export function viewInstance(
  instance: Instance,
  route: Route | undefined,
  { role, mayChange }: Pick<Visitor, 'role' | 'mayChange'>,
  now: number,
): InstanceView {
  const { id, template, state, url, expiresAt, maxExpiresAt } = instance;
  const { title, visitor } = template;
  const serves = isServing(state);
  const survives = template.onTimeout === 'pause' && expiresAt < maxExpiresAt;
  const pauses = survives && state !== 'paused';
  const deadline = survives && !pauses ? maxExpiresAt : expiresAt;
  const left = deadline - now;
  const isOver = isDead(state) || state === 'draining' || (serves && left <= 0 && !pauses);
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
      expiresAt: new Date(deadline).toISOString(),
      maxExpiresAt: new Date(maxExpiresAt).toISOString(),
      pauses,
      secondsLeft: seconds(left),
      isExpiring: left <= expiryNoticeMs(instance),
      noticeSeconds: seconds(expiryNoticeMs(instance)),
    }),
    mayRenew: mayChange && leased && left > 0 && renewed > deadline + MIN_RENEWAL_MS,
    renewSeconds: renewal === undefined ? undefined : seconds(renewal),
    mayEnd: mayChange && isOwner && !isOver && visitor?.end === true,
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
