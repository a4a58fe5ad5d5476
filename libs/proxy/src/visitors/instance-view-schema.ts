import { z } from 'zod';

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
  maxExpiresAt: z.iso
    .datetime({ offset: true })
    .optional()
    .describe('The latest time to which its deadline may move.'),
  pauses: z
    .boolean()
    .optional()
    .describe(
      'Whether it is paused at `expiresAt` instead of ended. A paused instance ends at `maxExpiresAt`.',
    ),
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
