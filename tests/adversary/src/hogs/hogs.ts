/**
 * Scripts that use as much of a resource as they get. Each runs until it is ended, and prints
 * `held` when it is refused more. Only the hog of processes may start further ones, because a
 * refused fork ends the script. `nothing` is the control.
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

/** The limits of every instance of a run; memory and `/tmp` in MiB. */
export const LIMITS = { memory: 64, cpus: 0.5, pids: 64, tmp: 16 } as const;

/**
 * The templates of a run: the neighbour whose response times are measured, and one hog of each
 * kind.
 */
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
