import Docker from 'dockerode';

/** The client type, for modules that do not import dockerode. */
export type DockerClient = Docker;

/**
 * Creates a client of the daemon at a `DOCKER_HOST` address, `unix:///path` or `tcp://host:port`.
 * @throws Error if the address has another form
 */
export function connectDocker(address: string): DockerClient {
  const url = URL.parse(address);
  if (url?.protocol === 'unix:' && url.pathname) return new Docker({ socketPath: url.pathname });
  if (url?.protocol === 'tcp:' && url.hostname) {
    return new Docker({ protocol: 'http', host: url.hostname, port: Number(url.port || 2375) });
  }
  throw new Error(`DOCKER_HOST must be unix:///path or tcp://host:port, not "${address}"`);
}
