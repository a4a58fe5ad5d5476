/** Fields of a template, as in `ephemera.yml`. */
export type TemplateFields = Readonly<Record<string, unknown>>;

/**
 * Returns a template of the demo image that is small enough for hundreds of instances on one
 * machine, as a one-line value for `ephemera.yml`. `fields` override single fields.
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
