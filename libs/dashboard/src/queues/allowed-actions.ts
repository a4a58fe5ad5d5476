import type { BeforeHook } from '@bull-board/api/typings/app';

/**
 * The allowed actions on jobs. All are safe, because a kill reads the lease when it runs, and
 * reconciliation repairs the rest. A promoted kill delays itself again. A deleted one is scheduled
 * again. Overdue instances are ended even while their queue is paused.
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

/** Refuses to create jobs, to change their data, and to delete a queue. */
export const refuseForgery: BeforeHook = ({ method, route }) => {
  const allowed =
    method === 'get' || ALLOWED.has(route) || /^\/api\/queues\/(pause|resume)$/.test(route);
  if (allowed) return;
  return {
    allow: false,
    status: 403,
    message: 'The dashboard cannot create jobs, change their data, or delete a queue.',
  };
};
