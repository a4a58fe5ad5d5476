import { expect, test } from 'vitest';
import { HOME, loginTarget } from './login-target.ts';

test.each([
  ['/queues'],
  ['/queues/queue/instance-kill-h1?status=delayed'],
  ['/instances?cursor=12'],
])('%s is where one wanted to go', (asked) => expect(loginTarget(asked)).toBe(asked));

test.each([
  ['https://evil.example/instances'],
  ['//evil.example/instances'],
  ['/\\evil.example/instances'],
  ['/\t/evil.example/instances'],
  ['/.//evil.example/instances'],
  ['/instances/..//evil.example'],
  ['\\\\evil.example'],
  ['javascript:alert(1)//instances'],
  ['/instancesevil'],
  ['/login'],
  ['http://dashboard@evil.example/instances'],
  [''],
  [undefined],
])('%s leads home', (asked) => expect(loginTarget(asked)).toBe(HOME));
