/**
 * Sec-WebSocket-Key of every tunnel, and the matching Sec-WebSocket-Accept (RFC 6455, section 1.3).
 */
export const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

/** Answers an upgrade, sends the instance id, and echoes every line. */
const ECHO = [
  'while read -r line; do [ "${#line}" -gt 1 ] || break; done',
  `printf 'HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n'`,
  `printf 'Sec-WebSocket-Accept: ${ACCEPT}\\r\\n\\r\\n%s\\n' "$EPHEMERA_ID"`,
  'exec cat',
].join('; ');

/** Templates with timeouts of about a minute, as real visitors have them. */
export function soakTemplates(receiverPort: number): string {
  const common = `image: ephemera/demo
    timeout: 60s
    maxTimeout: 20m
    limits: { memory: 32m, cpus: 0.5, pids: 32 }
    readOnly: true
    tmpfs: { /tmp: 8m }`;
  const page = `${common}
    port: 8080
    ready: { http: /id, within: 5m }`;
  return `
default: page
limits: { ratePerToken: 10000/1m }
templates:
  page:
    ${page}
    stopGrace: 1s
  pooled:
    ${page}
    stopGrace: 0s
    pool: 3
    poolMaxAge: 5m
  few:
    ${page}
    stopGrace: 0s
    maxInstances: 2
    whenFull: queue
    queueTimeout: 5m
  tunnel:
    ${common}
    port: 9000
    ready: { tcp: true, within: 5m }
    stopGrace: 1s
    env: { ECHO: ${JSON.stringify(ECHO)} }
    command: ['/bin/sh', '-c', 'exec nc -ll -p 9000 -e /bin/sh -c "$ECHO"']
webhooks:
  - name: books
    url: http://127.0.0.1:${receiverPort}/
    secret: shared-webhook-test-secret
    events: [ready, gone]
`;
}
