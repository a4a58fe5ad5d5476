import type { BeforeHook } from '@bull-board/api/typings/app';

/**
 * What may be done to jobs. All of it is safe, because a kill reads the lease again when it runs
 * and reconciliation stands behind it: promoted early it delays itself again, deleted it is
 * armed again, and while its queue is paused the overdue go all the same.
 */
const ALLOWED = new Set(
  [
    '/:jobId/retry',
    '/:jobId/promote',
    '/:jobId/clean',
    '/retry/:queueStatus',
    '/promote',
    '/clean/:queueStatus',
    '/pause',
    '/resume',
  ].map((action) => `/api/queues/:queueName${action}`),
);

/** Refuses to make jobs, to change what is in them, and to take a queue away. */
export const refuseForgery: BeforeHook = ({ method, route }) => {
  const allowed =
    method === 'get' || ALLOWED.has(route) || /^\/api\/queues\/(pause|resume)$/.test(route);
  if (allowed) return;
  return { allow: false, status: 403, message: 'Ephemera alone makes and changes its jobs.' };
};
