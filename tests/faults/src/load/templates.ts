import { type TemplateFields, demoTemplate } from '@ephemera/test-support';

/**
 * Templates of the background clients. The deadlines are seconds long, so that every lifecycle step
 * occurs often.
 * @param pool the number of warm instances; 0 for no pool
 */
export function templatesOf(receiverPort: number, pool = 2): string {
  const template = (fields: TemplateFields) =>
    demoTemplate({
      maxTimeout: '10m',
      ready: { http: '/id', within: '4m' },
      limits: { memory: '32m', cpus: 0.5, pids: 32 },
      ...fields,
    });
  const ignoresSigterm = 'trap "" TERM; /bin/serve & while true; do sleep 1; done';
  return `
default: plain
limits: { ratePerToken: 10000/1m }
templates:
  plain: ${template({ timeout: '5s', stopGrace: '1s' })}
  stubborn: ${template({
    ...{ timeout: '4s', stopGrace: '1s' },
    command: ['/bin/sh', '-c', ignoresSigterm],
  })}
  pooled: ${template({ timeout: '6s', ...(pool > 0 && { pool, poolMaxAge: '10m' }) })}
  few: ${template({ timeout: '3s', maxInstances: 1, whenFull: 'queue', queueTimeout: '2m' })}
webhooks:
  - name: books
    url: http://127.0.0.1:${receiverPort}/
    secret: shared-webhook-test-secret
    events: [ready, gone]
`;
}
