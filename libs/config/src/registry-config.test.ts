import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { readRegistryLogins } from './registry-config.ts';
import { parseTemplates } from './template-config.ts';

const folder = mkdtempSync(join(tmpdir(), 'ephemera-registries-'));
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
function file(content: string): string {
  const path = join(folder, `${++files}`);
  writeFileSync(path, content);
  return path;
}

const base64 = (plain: string) => Buffer.from(plain).toString('base64');

const readDocker = (content: unknown) =>
  readRegistryLogins(
    { configFile: join(folder, 'none'), dockerConfig: file(JSON.stringify(content)) },
    {},
  );

const readYaml = (content: string, environment = {}) =>
  readRegistryLogins({ configFile: file(content), dockerConfig: undefined }, environment);

test('a config.json gives logins in all the forms that Docker writes', () => {
  const logins = readDocker({
    auths: {
      'https://index.docker.io/v1/': { auth: base64('hub:p:w') },
      'ghcr.io': { username: 'cat', password: 'secret' },
      'https://quay.io/v2/': { auth: base64('robot:pw\0\0') },
      'acr.example.com': { auth: base64('00000000-0000:'), identitytoken: 'refresh' },
      'left.example.com': {},
    },
    HttpHeaders: { 'User-Agent': 'x' },
    credsStore: '',
    credHelpers: {},
  });
  expect(Object.fromEntries(logins)).toEqual({
    'docker.io': {
      username: 'hub',
      password: 'p:w',
      serveraddress: 'https://index.docker.io/v1/',
    },
    'ghcr.io': { username: 'cat', password: 'secret', serveraddress: 'ghcr.io' },
    'quay.io': { username: 'robot', password: 'pw', serveraddress: 'quay.io' },
    'acr.example.com': { identitytoken: 'refresh', serveraddress: 'acr.example.com' },
  });
});

test('credential helpers are refused with the alternative', () => {
  expect(() => readDocker({ credsStore: 'desktop' })).toThrow(
    /credsStore: credential helpers are not supported.*"registries" in ephemera.yml/,
  );
  expect(() => readDocker({ credHelpers: { 'gcr.io': 'gcloud' } })).toThrow(
    /credHelpers.gcr.io: credential helpers are not supported/,
  );
});

test('an invalid config.json is refused without its content', () => {
  const refusal = (path: string) => {
    try {
      readRegistryLogins({ configFile: join(folder, 'none'), dockerConfig: path }, {});
    } catch (error) {
      return (error as Error).message;
    }
    return '';
  };
  expect(refusal(join(folder, 'absent'))).toMatch(/cannot be read \(ENOENT\)/);
  expect(refusal(file('{"auths": {"a.io": {"auth": "SECRET"'))).toMatch(/is not JSON/);
  const noColon = refusal(file(JSON.stringify({ auths: { 'a.io': { auth: base64('SECRET') } } })));
  expect(noColon).toMatch(/auths.a.io.auth: must be the base64 form of user:password/);
  const number = refusal(file('{"auths": {"a.io": {"password": 12345}}}'));
  expect(number).toMatch(/auths.a.io.password: must be/);
  for (const message of [noColon, number]) expect(message).not.toMatch(/SECRET|12345/);
});

test('ephemera.yml names the user and the variable, and takes precedence', () => {
  const registries = 'registries: {ghcr.io: {username: cat, passwordEnv: GHCR}}';
  const ofDocker = file(JSON.stringify({ auths: { 'ghcr.io': { auth: base64('dog:old') } } }));
  const sources = { configFile: file(registries), dockerConfig: ofDocker };
  expect(readRegistryLogins(sources, { GHCR: 'token' }).get('ghcr.io')).toEqual({
    username: 'cat',
    password: 'token',
    serveraddress: 'ghcr.io',
  });
  const hub = readYaml('registries: {index.docker.io: {username: a, passwordEnv: P}}', { P: 'b' });
  expect(hub.get('docker.io')).toMatchObject({ serveraddress: 'https://index.docker.io/v1/' });
});

test('every error of the file is reported with its path', () => {
  expect(() => readYaml('registries: {ghcr.io: {username: cat, passwordEnv: GHCR}}')).toThrow(
    /registries.ghcr.io.passwordEnv: the environment variable GHCR of the worker is not set/,
  );
  const template = 'templates: {demo: {image: a, port: 80}}';
  const wrong = 'registries: {"https://ghcr.io/": {username: cat, passwordEnv: X}}';
  expect(() => parseTemplates(`${template}\n${wrong}`)).toThrow(/without a scheme and a path/);
  const plain = 'registries: {ghcr.io: {username: cat, password: secret}}';
  expect(() => parseTemplates(`${template}\n${plain}`)).toThrow(/registries.ghcr.io.password/);
  // A proxy reads the same file, but has no passwords.
  const right = 'registries: {ghcr.io: {username: cat, passwordEnv: X}}';
  expect(() => parseTemplates(`${template}\n${right}`)).not.toThrow();
});
