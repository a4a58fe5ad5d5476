import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { createLogger } from '@ephemera/process';
import { expect, test } from 'vitest';
import { accessLog } from './access-log.ts';

test('a line has the facts of a request, without its query, at any log level', () => {
  const lines: string[] = [];
  const logger = createLogger('proxy', 'error', { write: (line) => lines.push(line) });
  const req = new IncomingMessage(new Socket());
  req.url = '/demo/a1/page?token=secret';
  accessLog(
    logger,
    () => '192.0.2.7',
  )({
    ...{ req, id: 'a1', template: 'notes', method: 'GET', status: 200, bytes: 12 },
    ...{ duration: 3.14159, upstreamDuration: undefined },
  });
  logger.info('not logged');
  expect(lines).toHaveLength(1);
  const line = JSON.parse(lines[0] ?? '') as Record<string, unknown>;
  expect(line).toMatchObject({
    ...{ level: 'info', app: 'proxy', log: 'access', msg: 'request' },
    ...{ id: 'a1', template: 'notes', method: 'GET', path: '/demo/a1/page', status: 200 },
    ...{ durationMs: 3.14, bytes: 12, address: '192.0.2.7' },
  });
  expect(line).not.toHaveProperty('upstreamMs');
  expect(lines[0]).not.toContain('secret');
});
