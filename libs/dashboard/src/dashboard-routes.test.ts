import { expect, test } from 'vitest';
import { HOME, loginTarget } from './dashboard-routes.ts';

test.each([
  ['/dashboard/queues'],
  ['/dashboard/queues/queue/instance-kill-h1?status=delayed'],
  ['/dashboard/instances?cursor=12'],
])('%s is kept as the target', (asked) => expect(loginTarget(asked)).toBe(asked));

test.each([
  ['https://evil.example/instances'],
  ['//evil.example/instances'],
  ['/\\evil.example/instances'],
  ['/\t/evil.example/instances'],
  ['/.//evil.example/instances'],
  ['/dashboard/instances/..//evil.example'],
  ['\\\\evil.example'],
  ['javascript:alert(1)//instances'],
  ['/dashboard/instancesevil'],
  ['/dashboard/login'],
  ['http://dashboard@evil.example/instances'],
  [''],
  [undefined],
])('%s leads to the home page', (asked) => expect(loginTarget(asked)).toBe(HOME));
