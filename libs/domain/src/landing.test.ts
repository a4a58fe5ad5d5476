import { describe, expect, test } from 'vitest';
import { landingPathIssue, landingUrl, openIssue, portAddresses } from './landing.ts';
import type { Template } from './template.ts';

const template = { port: 80, ports: { web: 80, api: 8000 } } as unknown as Template;
const ID = 'k'.repeat(26);
const PATH_FORM = { id: ID, url: `https://demos.example/outer/demo/${ID}/`, template };
const HOST_FORM = { id: ID, url: `http://${ID}.localhost:8080/`, template };

describe('a landing path', () => {
  test.each([
    '/',
    '/lab',
    '/lab/tree/a%20b.ipynb?reset&path=//x/../y#L1',
    '/#/dashboard',
    '/?next=https://other.example/%0a',
    '/a//b',
    '/a%2fb',
    '/Größe und mehr',
    '/.well-known/x',
    '/...',
    '/?q=a\\b',
    '/?ephemera-token2=a',
  ])('may be %j', (path) => {
    expect(landingPathIssue(path)).toBeUndefined();
  });

  test.each([
    '',
    'lab',
    ' /lab',
    'https://other.example/',
    'javascript:alert(1)',
    '\\lab',
    '%2flab',
    '//other.example',
    '///other.example',
    '/\\other.example',
    '/%2fother.example',
    '/%2Fother.example',
    '/%5cother.example',
    '/%252fother.example',
    '/%25255cother.example',
    '/\t/other.example',
    '/\n/other.example',
    '/\r/other.example',
    '/%09/other.example',
    '/a\u0000',
    '/a%00',
    '/a\u007f',
    '/a\u0085',
    '/?a=\r\nSet-Cookie: b=c',
    '/a\\..\\..\\new',
    '/.',
    '/..',
    '/../new',
    '/./other',
    '/a/../../new',
    '/a/%2e%2e/new',
    '/a/.%2E/new',
    '/a/%252e%252e/new',
    '/a%2f..%2f..%2fnew',
    '/a/..?x',
    '/a/..#x',
    '/a\ud800',
    '/?ephemera-token=abc',
    '/?a=1&ephemera-token',
    `/${'a'.repeat(2_048)}`,
    `/${'€'.repeat(300)}`,
  ])('may not be %j', (path) => {
    expect(landingPathIssue(path)).toEqual(expect.any(String));
  });
});

test('`open` is checked with the values of its placeholders', () => {
  expect(openIssue('/lab?path={basePath}&url={url}&port={port}')).toBeUndefined();
  for (const open of ['/{basePath}/lab', '{basePath}/lab', '/{basePath}', '{url}', '//{id}'])
    expect(openIssue(open), open).toEqual(expect.any(String));
});

test('an instance opens at the path of its creation, else of its template, else at its base', () => {
  for (const instance of [PATH_FORM, HOST_FORM]) {
    const base = instance.url.slice(0, -1);
    const opened = { ...instance, template: { ...template, open: '/lab?path={basePath}#{id}' } };
    const basePath = instance === PATH_FORM ? `/outer/demo/${ID}` : '';
    expect(landingUrl(instance)).toBe(instance.url);
    expect(landingUrl(opened)).toBe(`${base}/lab?path=${basePath}#${ID}`);
    expect(landingUrl({ ...opened, path: '/{id} ü?a=1' })).toBe(`${base}/{id}%20%C3%BC?a=1`);
  }
});

test('only the client that started an instance gets a URL with its secret', () => {
  const instance = { ...PATH_FORM, template: { ...template, open: '/lab?token={token}' } };
  expect(landingUrl(instance, 'secret')).toBe(`${instance.url}lab?token=secret`);
  expect(landingUrl(instance)).toBe(instance.url);
});

test('each port has an address, and the first has that of the instance', () => {
  expect(portAddresses(PATH_FORM)).toEqual({
    web: { port: 80, url: PATH_FORM.url },
    api: { port: 8000, url: `https://demos.example/outer/demo/${ID}:api/` },
  });
  expect(portAddresses(HOST_FORM)).toEqual({
    web: { port: 80, url: HOST_FORM.url },
    api: { port: 8000, url: `http://api-${ID}.localhost:8080/` },
  });
});
