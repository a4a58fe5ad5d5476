/**
 * What an instance runs to take all that it gets; each goes on until it is ended, and says `held`
 * where it is told that there is no more. Nothing may be started beside the processes: who is
 * refused one ends. `nothing` is the control.
 */
export const HOGS: Readonly<Record<string, string>> = {
  nothing: 'exec sleep 600',
  processes: '(bomb() { while :; do bomb & done; }; bomb 2>/dev/null) & exec sleep 600',
  memory: 'while :; do tail /dev/zero; echo "held $?"; done',
  disk: 'while :; do dd if=/dev/zero of=/tmp/x bs=1M 2>/dev/null; echo "held $?"; done',
  log: 'exec yes 0123456789abcdef0123456789abcdef',
  descriptors: `most=$(ulimit -n); for i in 1 2 3 4; do
    (fd=10; while [ $fd -lt $most ]; do eval "exec $fd</dev/null"; fd=$((fd + 1)); done
    (eval "exec $fd</dev/null") 2>/dev/null || echo "held $fd"; sleep 600) &
  done; wait`,
  CPU: 'for i in 1 2 3 4; do while :; do :; done & done; wait',
};

/** What every instance of a run has at most; memory and `/tmp` in MiB. */
export const LIMITS = { memory: 64, cpus: 0.5, pids: 64, tmp: 16 } as const;

/** The templates of a run: the neighbour whose answers are timed, and a hog of each kind. */
export function hogTemplates(): string {
  const { memory, cpus, pids, tmp } = LIMITS;
  const shared = `image: ephemera/demo, port: 8080, stopGrace: 0s, timeout: 10m,
    limits: { memory: ${memory}m, cpus: ${cpus}, pids: ${pids} }, tmpfs: { /tmp: ${tmp}m }`;
  const hogs = Object.entries(HOGS).map(([name, line]) => {
    const command = JSON.stringify(`httpd -p 8080 -h /tmp; sleep 1; ${line}`);
    return `  ${name.toLowerCase()}: { ${shared}, command: [/bin/sh, -c, ${command}] }\n`;
  });
  return `default: neighbour\ntemplates:\n  neighbour: { ${shared} }\n${hogs.join('')}`;
}
