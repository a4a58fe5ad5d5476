/** What an instance runs to take all that it gets; each goes on until it is ended. */
export const HOGS: Readonly<Record<string, string>> = {
  processes: 'while :; do bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 0.1; done',
  memory: 'while :; do tail /dev/zero; done',
  disk: 'while :; do dd if=/dev/zero of=/tmp/x bs=1M 2>/dev/null; done',
  log: 'while :; do yes 0123456789abcdef0123456789abcdef; done',
  descriptors:
    'for i in 1 2 3 4 5 6 7 8; do (i=3; while :; do eval "exec $i</dev/null" || break; i=$((i+1)); done; sleep 600) & done; wait',
  CPU: 'for i in 1 2 3 4; do while :; do :; done & done; wait',
};

/** The templates of a run: the neighbour whose answers are timed, and a hog of each kind. */
export function hogTemplates(): string {
  const limits = 'limits: { memory: 64m, cpus: 0.5, pids: 64 }';
  const hogs = Object.entries(HOGS).map(
    ([name, line]) => `
  ${name.toLowerCase()}:
    image: ephemera/demo
    port: 8080
    stopGrace: 0s
    timeout: 5m
    tmpfs: { /tmp: 16m }
    ${limits}
    command: [/bin/sh, -c, ${JSON.stringify(`httpd -p 8080 -h /tmp; sleep 1; ${line}`)}]`,
  );
  return `default: neighbour
templates:
  neighbour: { image: ephemera/demo, port: 8080, timeout: 10m, stopGrace: 0s, ${limits} }${hogs.join('')}
`;
}
