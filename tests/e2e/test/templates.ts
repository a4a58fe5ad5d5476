/** Templates for the tests: the demo with a TTL of seconds, and some that fail. */
export const TEMPLATES = `
default: demo
templates:
  demo:
    image: ephemera/demo
    port: 8080
    timeout: 60s
    maxTimeout: 10m
    ready: { http: /id, within: 30s }
    stopGrace: 1s
    limits: { memory: 64m, cpus: 0.5, pids: 64 }
    readOnly: true
    tmpfs: { /tmp: 8m }
  brief:
    image: ephemera/demo
    port: 8080
    timeout: 3s
    stopGrace: 1s
    limits: { memory: 64m }
    readOnly: true
    tmpfs: { /tmp: 8m }
  no-image:
    image: ephemera/there-is-no-such-image
    port: 8080
  never-ready:
    image: ephemera/demo
    port: 8080
    ready: { tcp: true, within: 4s }
    command: ['/bin/sh', '-c', 'echo waiting for nothing; sleep 60']
  exits:
    image: ephemera/demo
    port: 8080
    command: ['/bin/sh', '-c', 'echo I cannot go on; exit 7']
`;
