import { currentContext } from '@ephemera/process';
import type { SpanAttributes, Tracing } from '@ephemera/process';
import type { DockerClient } from './docker-client.ts';

interface DialOptions {
  readonly path?: unknown;
  readonly method?: unknown;
}
interface DialError {
  readonly statusCode?: unknown;
  readonly name?: unknown;
  readonly code?: unknown;
}

/** The part of docker-modem through which every call of a client passes. */
interface Modem {
  readonly socketPath?: string;
  readonly host?: string;
  readonly port?: string | number;
  dial(options: DialOptions, callback: (error: DialError | null, data?: unknown) => void): void;
}

/**
 * Records a span for each call of a client within a job. Calls of periodic checks have none: they are
 * part of no trace, and each would begin its own. A call whose response is a stream ends with its head.
 */
export function traceDockerCalls(docker: DockerClient, tracing: Tracing): void {
  const modem = docker.modem as unknown as Modem;
  const dial = modem.dial.bind(modem);
  const server: SpanAttributes =
    modem.socketPath === undefined
      ? { 'server.address': modem.host, 'server.port': Number(modem.port) }
      : { 'server.address': modem.socketPath, 'network.transport': 'unix' };
  modem.dial = (options, callback) => {
    const parent = currentContext();
    if (parent === undefined) {
      dial(options, callback);
      return;
    }
    const method = String(options.method);
    const template = urlTemplate(String(options.path));
    const attributes = { 'http.request.method': method, 'url.template': template, ...server };
    const span = tracing.startSpan(`${method} ${template}`, { kind: 'client', parent, attributes });
    dial(options, (error, data) => {
      const status = error?.statusCode;
      if (typeof status === 'number') span.setAttributes({ 'http.response.status_code': status });
      span.end(error ? errorType(error) : undefined);
      callback(error, data);
    });
  };
}

/** The status, or the code of the connection's error. */
function errorType({ statusCode, code, name }: DialError): string {
  return [statusCode, code, name].filter((value) => value !== undefined).map(String)[0] ?? '_OTHER';
}

/** Words behind the first segment that are no id or name. */
const COLLECTION_WORDS = /^(?:json|create|prune|search|load|get)$/;

/**
 * The path of a call without its query, ids and names, of which there are many:
 * `/containers/0f3a/start?t=5` becomes `/containers/{id}/start`. The name of an image may contain
 * slashes.
 */
export function urlTemplate(path: string): string {
  const [bare = ''] = path.split('?', 1);
  const [, kind = '', rest = ''] =
    /^\/(containers|networks|images|exec|volumes)\/(.+)$/.exec(bare) ?? [];
  if (kind === '' || COLLECTION_WORDS.test(rest)) return bare;
  const action = /\/(\w+)$/.exec(rest)?.[1];
  return `/${kind}/{id}${action === undefined || (kind === 'images' && !IMAGE_ACTIONS.has(action)) ? '' : `/${action}`}`;
}

const IMAGE_ACTIONS: ReadonlySet<string> = new Set(['json', 'history', 'push', 'tag', 'get']);
