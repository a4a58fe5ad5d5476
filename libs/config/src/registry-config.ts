import { readFileSync } from 'node:fs';
import { DOCKER_HUB, registryName } from '@ephemera/domain';
import type { Issue } from '@ephemera/domain';
import { z } from 'zod';
import { ConfigError } from './environment.ts';
import { readYaml } from './yaml-text.ts';

/** The key of Docker Hub in a login. */
const DOCKER_HUB_ADDRESS = 'https://index.docker.io/v1/';

/** A login as the Docker API takes it. It is a secret. */
export type RegistryLogin = { readonly serveraddress: string } & (
  { readonly username: string; readonly password: string } | { readonly identitytoken: string }
);

/** The logins by registry, as `registryOf` names it. */
export type RegistryLogins = ReadonlyMap<string, RegistryLogin>;

/** One registry of the file. */
export const registrySchema = z.strictObject({
  username: z.string().min(1, 'must name a user').describe('User of the login.'),
  passwordEnv: z
    .string()
    .min(1, 'must name an environment variable')
    .describe('Name of the environment variable of the worker that holds the password or token.'),
});

export const registriesSchema = z
  .record(
    z
      .string()
      .regex(
        /^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?$/,
        'must be a host such as ghcr.io or registry.example.com:5000, without a scheme and a path',
      ),
    registrySchema,
  )
  .prefault({});

/** The registry of a key in a Docker `config.json`, which may be an address with a path. */
function registryOfKey(key: string): string {
  const [host = ''] = key.replace(/^https?:\/\//i, '').split('/');
  return registryName(host);
}

/** Where the logins are. Either file may be missing from the settings. */
export interface RegistryLoginSources {
  /** `ephemera.yml`. Its logins take precedence. A worker may run without the file. */
  readonly configFile: string;
  /** A `config.json` of Docker. */
  readonly dockerConfig: string | undefined;
}

/**
 * Reads the logins of registries. Neither the result nor an error may be logged with a secret in it:
 * errors name fields and variables only.
 * @throws ConfigError with every error of the file that is invalid
 */
export function readRegistryLogins(
  { configFile, dockerConfig }: RegistryLoginSources,
  environment: Readonly<Record<string, string | undefined>>,
): RegistryLogins {
  const ofDocker = dockerConfig === undefined ? [] : readDockerConfig(dockerConfig);
  return new Map([...ofDocker, ...readConfigFile(configFile, environment)]);
}

function readConfigFile(
  path: string,
  environment: Readonly<Record<string, string | undefined>>,
): [string, RegistryLogin][] {
  const text = readText(path, true);
  if (text === undefined) return [];
  const { registries } = readYaml(text, z.looseObject({ registries: registriesSchema }), path);
  const issues: Issue[] = [];
  const logins = Object.entries(registries).map(([key, { username, passwordEnv }]) => {
    const password = environment[passwordEnv] ?? '';
    if (password === '') {
      const detail = `the environment variable ${passwordEnv} of the worker is not set`;
      issues.push({ path: `registries.${key}.passwordEnv`, detail });
    }
    return loginFor(registryOfKey(key), { username, password });
  });
  if (issues.length > 0) throw new ConfigError(path, issues);
  return logins;
}

const text = z.string('must be text').optional();
const dockerConfigSchema = z.looseObject({
  auths: z
    .record(
      z.string(),
      z.looseObject({ auth: text, username: text, password: text, identitytoken: text }),
      'must be an object',
    )
    .optional(),
  credsStore: text,
  credHelpers: z.record(z.string(), z.unknown()).optional(),
});

const NO_HELPERS =
  'credential helpers are not supported. Log in with a config.json that has none, so that docker login writes to auths, or use "registries" in ephemera.yml';

function readDockerConfig(path: string): [string, RegistryLogin][] {
  let input: unknown;
  try {
    input = JSON.parse(readText(path, false) ?? '');
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    // The message of the parser shows a part of the file.
    throw new ConfigError(path, [{ path: '', detail: 'is not JSON' }]);
  }
  const parsed = dockerConfigSchema.safeParse(input);
  if (!parsed.success) {
    const issues = parsed.error.issues.map((issue) => ({
      path: issue.path.map(String).join('.'),
      detail: issue.code === 'invalid_type' ? `must be ${issue.expected}` : issue.message,
    }));
    throw new ConfigError(path, issues);
  }
  const { auths = {}, credsStore = '', credHelpers = {} } = parsed.data;
  const issues: Issue[] = [];
  if (credsStore !== '') issues.push({ path: 'credsStore', detail: NO_HELPERS });
  for (const host of Object.keys(credHelpers)) {
    issues.push({ path: `credHelpers.${host}`, detail: NO_HELPERS });
  }
  const logins: [string, RegistryLogin][] = [];
  for (const [key, { auth = '', identitytoken = '', ...plain }] of Object.entries(auths)) {
    // `auth` is the base64 form of `username:password`. Some programs pad it with NUL characters.
    const decoded = Buffer.from(auth, 'base64').toString('utf8').replace(/\0+$/, '');
    const colon = decoded.indexOf(':');
    if (auth !== '' && colon < 1) {
      const detail = 'must be the base64 form of user:password';
      issues.push({ path: `auths.${key}.auth`, detail });
    }
    const username = auth === '' ? (plain.username ?? '') : decoded.slice(0, colon);
    const password = auth === '' ? (plain.password ?? '') : decoded.slice(colon + 1);
    // Docker leaves an empty entry after a logout.
    if (identitytoken !== '') logins.push(loginFor(registryOfKey(key), { identitytoken }));
    else if (username !== '') logins.push(loginFor(registryOfKey(key), { username, password }));
  }
  if (issues.length > 0) throw new ConfigError(path, issues);
  return logins;
}

function loginFor(
  registry: string,
  secret: { username: string; password: string } | { identitytoken: string },
): [string, RegistryLogin] {
  const serveraddress = registry === DOCKER_HUB ? DOCKER_HUB_ADDRESS : registry;
  return [registry, { ...secret, serveraddress }];
}

function readText(path: string, mayBeMissing: boolean): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    if (mayBeMissing && code === 'ENOENT') return undefined;
    throw new ConfigError(path, [{ path: '', detail: `cannot be read (${code})` }]);
  }
}
