import { readFileSync } from 'node:fs';

export interface Target {
  readonly host: string;
  readonly port: number;
}

/** Arguments of a server: its port, its routes, and the URL of Redis. */
export function readArguments() {
  const [, , port, routes = '', redisUrl = ''] = process.argv;
  const targets = JSON.parse(readFileSync(routes, 'utf8')) as Record<string, Target>;
  return { port: Number(port), targets: new Map(Object.entries(targets)), redisUrl };
}

/** The id in `/demo/{id}/…`. */
export function idOf(url: string): string {
  return url.slice(6, url.indexOf('/', 6));
}
