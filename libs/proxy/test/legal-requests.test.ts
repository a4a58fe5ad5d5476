import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { send, statusOf } from './data-plane/raw.ts';
import { BEARER, type OpenPorts, openPorts } from './open-ports.ts';

// Both ports accept legal requests of any spelling. The start endpoint is behind the data plane.

let ports: OpenPorts;
beforeAll(async () => {
  ports = await openPorts('templates: { demo: { image: ephemera/demo, port: 8080 } }');
});
afterAll(() => ports.stop());

const H2C = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n';
const FORM = 'Content-Type: application/x-www-form-urlencoded\r\n';
const portOf = (url: string) => Number(new URL(url).port);
const toPublic = (bytes: string) => send(portOf(ports.publicUrl), bytes);
const toAdmin = (bytes: string) => send(portOf(ports.adminUrl), bytes);

describe('the start endpoint', () => {
  test.each([
    ['an offer of h2c', '/demo/new', `Host: a\r\n${H2C}`],
    ['an offer of TLS', '/demo/new', 'Host: a\r\nConnection: Upgrade\r\nUpgrade: TLS/1.2\r\n'],
    ['a pattern in the query', '/demo/new?re=\\d', 'Host: a\r\n'],
    ['a number sign in the query', '/demo/new?a=#b/../\\', 'Host: a\r\n'],
    ['absolute form', 'http://b.example/demo/new', 'Host: a\r\n'],
    ['absolute form in capitals', 'HTTPS://B.example:/demo/new?x=\\', 'Host: a\r\n'],
    ['a final dot and an empty port', '/demo/new', 'Host: a.:\r\n'],
  ])('%s: 307', async (_name, target, lines) => {
    const answer = await toPublic(`GET ${target} HTTP/1.1\r\n${lines}\r\n`);
    expect(statusOf(answer)).toBe(307);
    expect(answer).toMatch(/\r\nlocation: \/demo\/[a-z0-9]{26}\/\r\n/i);
  });

  test.each([
    ['equal names', 'http://a.example:81', 'a.example:81'],
    ['a final dot', 'http://a.example', 'a.example.'],
    ['an empty port', 'http://a.example', 'a.example:'],
    ['the default port', 'http://a.example', 'A.example:80'],
    ['the default port of https', 'https://a.example', 'a.example:443'],
  ])('a form of its own page, with %s: 303', async (_name, origin, host) => {
    const lines = `Origin: ${origin}\r\n${FORM}Content-Length: 0\r\n\r\n`;
    const answer = await toPublic(`POST /demo/new HTTP/1.1\r\nHost: ${host}\r\n${lines}`);
    expect(statusOf(answer)).toBe(303);
    const absolute = await toPublic(`POST http://${host}/demo/new HTTP/1.1\r\nHost: c\r\n${lines}`);
    expect(statusOf(absolute)).toBe(303);
  });

  test.each([
    ['another port', 'http://a.example:82', 'a.example:81'],
    ['another name', 'http://b.example', 'a.example'],
    ['no name', 'null', 'a.example'],
  ])('a form of a page with %s: 403', async (_name, origin, host) => {
    const answer = await toPublic(
      `POST /demo/new HTTP/1.1\r\nHost: ${host}\r\nOrigin: ${origin}\r\n${FORM}Content-Length: 0\r\n\r\n`,
    );
    expect(statusOf(answer)).toBe(403);
  });

  test('a form with a body and an offer of h2c: 303', async () => {
    const answer = await toPublic(
      `POST /demo/new HTTP/1.1\r\nHost: a\r\n${H2C}${FORM}Content-Length: 13\r\n\r\ntemplate=demo`,
    );
    expect(statusOf(answer)).toBe(303);
  });
});

describe('the admin port', () => {
  const token = `Authorization: ${BEARER.authorization}\r\n`;

  test.each([
    ['an offer of h2c', '/v1/instances', `Host: a\r\n${H2C}`],
    [
      'an offer of websocket',
      '/v1/instances',
      'Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n',
    ],
    ['absolute form', 'http://b.example/v1/instances', 'Host: a\r\n'],
    ['absolute form in capitals', 'HTTPS://B.example:/v1/instances?limit=1', 'Host: a\r\n'],
    ['a final dot and an empty port', '/v1/instances', 'Host: a.:\r\n'],
  ])('%s: 200', async (_name, target, lines) => {
    const answer = await toAdmin(`GET ${target} HTTP/1.1\r\n${lines}${token}\r\n`);
    expect(statusOf(answer)).toBe(200);
  });

  test('absolute form does not avoid the token', async () => {
    const answer = await toAdmin('GET http://b/v1/instances HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(statusOf(answer)).toBe(401);
  });

  test('a body with an offer of h2c is read', async () => {
    const body = '{"template":"demo"}';
    const answer = await toAdmin(
      `POST /v1/instances HTTP/1.1\r\nHost: a\r\n${token}${H2C}Content-Type: application/json\r\n` +
        `Content-Length: ${body.length}\r\n\r\n${body}`,
    );
    expect(statusOf(answer)).toBe(202);
  });
});
