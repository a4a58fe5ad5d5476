/** Fields of a template, as `ephemera.yml` has them. */
export type TemplateFields = Readonly<Record<string, unknown>>;

/**
 * A template of the demo image that fits hundreds of instances on one machine, as a value for
 * `ephemera.yml` in one line. `fields` replace single fields.
 */
export function demoTemplate(fields: TemplateFields = {}): string {
  return JSON.stringify({
    image: 'ephemera/demo',
    port: 8080,
    ready: { http: '/id', within: '30s' },
    stopGrace: '0s',
    limits: { memory: '64m', cpus: 0.5, pids: 64 },
    readOnly: true,
    tmpfs: { '/tmp': '8m' },
    ...fields,
  });
}
