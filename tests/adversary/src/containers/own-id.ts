/**
 * The shell script of a container in the churn: a server that keeps its connections open, responds
 * with its own id, delays every tenth response, and logs requests for another instance.
 */
const SCRIPT = `
cr=$(printf '\\r'); for=nobody; n=0
while IFS= read -r line; do
  case "$line" in
    [Xx]-[Ff]orwarded-[Pp]refix:*) for=\${line##*/};;
    "$cr")
      n=$((n+1)); [ $((n % 10)) -ne 0 ] || sleep 0.05
      [ "\${for%$cr}" = "$EPHEMERA_ID" ] || echo "stray \${for%$cr}" > /proc/1/fd/2
      printf 'HTTP/1.1 200 OK\\r\\nContent-Length: %s\\r\\n\\r\\n%s' "\${#EPHEMERA_ID}" "$EPHEMERA_ID"
      for=nobody;;
  esac
done`;

/** The templates of the churn, in the form of `ephemera.yml`. */
export const OWN_ID = JSON.stringify({
  default: 'demo',
  templates: {
    demo: {
      image: 'ephemera/demo',
      port: 8080,
      timeout: '10m',
      stopGrace: '0s',
      ready: 'tcp',
      limits: { memory: '32m', cpus: 0.5, pids: 64 },
      env: { SCRIPT },
      command: ['sh', '-c', 'exec nc -ll -p {port} -e sh -c "$SCRIPT"'],
    },
  },
});
