/** What the background starts: lives of seconds, so that every step is met all the time. */
export function templatesOf(receiverPort: number): string {
  const common = `image: ephemera/demo
    port: 8080
    maxTimeout: 10m
    ready: { http: /id, within: 4m }
    limits: { memory: 32m, cpus: 0.5, pids: 32 }
    readOnly: true
    tmpfs: { /tmp: 8m }`;
  return `
default: plain
templates:
  plain:
    ${common}
    timeout: 5s
    stopGrace: 1s
  stubborn:
    ${common}
    timeout: 4s
    stopGrace: 1s
    command: ['/bin/sh', '-c', 'trap "" TERM; /bin/serve & while true; do sleep 1; done']
  pooled:
    ${common}
    timeout: 6s
    stopGrace: 0s
    pool: 2
    poolMaxAge: 10m
  few:
    ${common}
    timeout: 3s
    stopGrace: 0s
    maxInstances: 1
    whenFull: queue
    queueTimeout: 2m
webhooks:
  - name: books
    url: http://127.0.0.1:${receiverPort}/
    secret: known to the two of us alone
    events: [ready, gone]
`;
}
