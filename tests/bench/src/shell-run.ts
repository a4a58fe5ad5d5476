import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * The equivalent without Ephemera: `docker run` with the same limits on the same network, and a
 * loop that waits for a response. The address is fixed, so no time is spent to look it up.
 */
const SCRIPT = String.raw`
docker run -d --name "$1" --network "$2" --ip "$3" --cap-drop ALL \
  --security-opt no-new-privileges:true --init --read-only --tmpfs /tmp:rw,size=8m \
  --memory 64m --memory-swap 64m --cpus 0.5 --pids-limit 64 --user 65534 \
  --label ephemera.namespace="$2" "$4" > /dev/null
until {
  exec 3<> "/dev/tcp/$3/8080" &&
  printf 'GET /id HTTP/1.0\r\nHost: x\r\n\r\n' >&3 &&
  IFS= read -r -n 1 -u 3 _
} 2> /dev/null; do sleep 0.002; done
`;

/** Returns the time to the first byte in milliseconds, and removes the container. */
export async function shellRun(options: {
  name: string;
  network: string;
  address: string;
  image: string;
}): Promise<number> {
  const { name, network, address, image } = options;
  try {
    const began = performance.now();
    await run('bash', ['-c', SCRIPT, 'bash', name, network, address, image], { timeout: 30_000 });
    return performance.now() - began;
  } finally {
    await run('docker', ['rm', '-f', name]);
  }
}
