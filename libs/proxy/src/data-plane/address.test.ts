import { expect, test } from 'vitest';
import { readAddress, readForm } from './address.ts';

const ID = 'abcdefghijklmnopqrstuvwxyz';
const path = { prefix: 'demo', domain: undefined };
const host = { prefix: 'demo', domain: 'demos.example' };

test.each([
  [`/demo/${ID}/`, { id: ID, port: undefined, prefix: `/demo/${ID}`, path: '/' }],
  [`/demo/${ID}/a/b?c`, { id: ID, port: undefined, prefix: `/demo/${ID}`, path: '/a/b?c' }],
  [`/demo/${ID}//x`, { id: ID, port: undefined, prefix: `/demo/${ID}`, path: '//x' }],
  [`/demo/${ID}`, { id: ID, port: undefined, prefix: `/demo/${ID}`, path: '' }],
  [`/demo/${ID}?a=/b`, { id: ID, port: undefined, prefix: `/demo/${ID}`, path: '?a=/b' }],
  [`/demo/${ID}:9229/a`, { id: ID, port: '9229', prefix: `/demo/${ID}:9229`, path: '/a' }],
  [`/demo/${ID}:debug`, { id: ID, port: 'debug', prefix: `/demo/${ID}:debug`, path: '' }],
])('path form: %s', (target, address) => {
  expect(readAddress(target, 'any.example', path)).toEqual(address);
});

test.each([
  '/',
  '/demo',
  '/demo/',
  '/demo/new',
  `/demo/${ID}a/`,
  `/demo/${ID.slice(1)}/`,
  `/demo/${ID.toUpperCase()}/`,
  `/demo/1${ID.slice(1)}/`,
  `/demo/%61${ID.slice(1)}/`,
  `/demo/${ID}%2f`,
  `/demo//${ID}/`,
  `/demO/${ID}/`,
  `/demos/${ID}/`,
  `//demo/${ID}/`,
  `/x/demo/${ID}/`,
  `/demo/${ID}:/`,
  `/demo/${ID}:a:b/`,
  `/demo/${ID}:-1/`,
  `/demo/${ID}:../`,
  `/demo/${ID}:${'9'.repeat(40)}/`,
])('no address: %s', (target) => {
  expect(readAddress(target, 'any.example', path)).toBeUndefined();
});

test.each([
  [`${ID}.demos.example`, { id: ID, port: undefined }],
  [`${ID}.demos.example:8080`, { id: ID, port: undefined }],
  [`${ID.toUpperCase()}.Demos.Example`, { id: ID, port: undefined }],
  [`9229-${ID}.demos.example`, { id: ID, port: '9229' }],
  [`web-ui-${ID}.demos.example`, { id: ID, port: 'web-ui' }],
])('host form: %s', (name, found) => {
  expect(readAddress('/a?b', name, host)).toEqual({ ...found, prefix: '', path: '/a?b' });
});

test.each([
  `${ID}.example`,
  `${ID}xdemos.example`,
  `${ID}.demos.example.evil`,
  `a.${ID}.demos.example`,
  `-${ID}.demos.example`,
  `x${ID}.demos.example`,
  'demos.example',
  '.demos.example',
])('no host form: %s', (name) => {
  expect(readAddress('/', name, host)).toBeUndefined();
});

test('below the domain of the host form, the path names no instance', () => {
  const other = 'zbcdefghijklmnopqrstuvwxyz';
  const address = readAddress(`/demo/${other}/`, `${ID}.demos.example`, host);
  expect(address?.id).toBe(ID);
  expect(readAddress(`/demo/${other}/`, 'demos.example', host)?.id).toBe(other);
});

const named = { ...host, hostNames: { except: 'www.demos.example' } };

test.each([
  ['/demo/@pr-42/a?b', { name: 'pr-42', port: undefined, prefix: '/demo/@pr-42', path: '/a?b' }],
  ['/demo/@pr-42', { name: 'pr-42', port: undefined, prefix: '/demo/@pr-42', path: '' }],
  ['/demo/@a:api/x', { name: 'a', port: 'api', prefix: '/demo/@a:api', path: '/x' }],
])('path form of a name: %s', (target, address) => {
  const found = { id: `@${address.name}`, ...address };
  expect(readAddress(target, 'any.example', path)).toEqual(found);
  expect(readAddress(target, 'any.example', named)).toEqual(found);
});

test('with a domain but no hosts for names, the path form of a name is no address either', () => {
  expect(readAddress('/demo/@pr-42/a', 'any.example', host)).toBeUndefined();
  expect(readForm('/demo/@pr-42/a', 'any.example', host)).toBe('path');
});

test.each([
  '@',
  '@-a',
  '@a--b',
  '@A',
  '@%61',
  '@a.b',
  `@${ID}`,
  `@x-${ID}`,
  '@a:',
  '@a:b:c',
  '@a@b',
])('no path form of a name: %s', (segment) => {
  expect(readAddress(`/demo/${segment}/`, 'any.example', path)).toBeUndefined();
});

test.each([
  ['pr-42.demos.example', { name: 'pr-42', port: undefined }],
  ['PR-42.demos.example:8080', { name: 'pr-42', port: undefined }],
  ['api--pr-42.demos.example', { name: 'pr-42', port: 'api' }],
  ['web-ui--a.demos.example', { name: 'a', port: 'web-ui' }],
])('host form of a name: %s', (name, found) => {
  const address = { id: `@${found.name}`, ...found, prefix: '', path: '/a?b' };
  expect(readAddress('/a?b', name, named)).toEqual(address);
  expect(readForm('/a?b', name, named)).toBe('host');
  // An application that shares the server has host names of its own.
  expect(readAddress('/a?b', name, host)).toBeUndefined();
  expect(readForm('/a?b', name, host)).toBeUndefined();
});

test.each([
  'www.demos.example',
  'demos.example',
  'a.pr-42.demos.example',
  '--pr-42.demos.example',
  'api--.demos.example',
  '42.demos.example',
])('no host form of a name: %s', (name) => {
  expect(readAddress('/', name, named)).toBeUndefined();
});

test('an id stays an id, and the own path of any instance is not of the application', () => {
  expect(readAddress('/', `api-${ID}.demos.example`, named)).toMatchObject({ id: ID, port: 'api' });
  const own = `/demo/-/${ID}/events`;
  expect(readAddress(own, 'pr-42.demos.example', named)).toBeUndefined();
  expect(readAddress('/demo/-/x/events', 'pr-42.demos.example', named)?.name).toBe('pr-42');
});
