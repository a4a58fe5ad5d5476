import { expect, test } from 'vitest';
import { urlTemplate } from './docker-spans.ts';

test.each([
  ['/containers/create?name=a', '/containers/create'],
  ['/containers/json?all=true', '/containers/json'],
  ['/containers/0f3a/start?', '/containers/{id}/start'],
  ['/containers/0f3a?force=1', '/containers/{id}'],
  ['/images/create?fromImage=a', '/images/create'],
  ['/images/example.org:5000/team/app:1/json', '/images/{id}/json'],
  ['/images/example.org:5000/team/app', '/images/{id}'],
  ['/images/sha256:12/history', '/images/{id}/history'],
  ['/networks/ephemera', '/networks/{id}'],
  ['/networks/ephemera/connect', '/networks/{id}/connect'],
  ['/info', '/info'],
  ['/_ping', '/_ping'],
])('the template of %s is %s', (path, template) => {
  expect(urlTemplate(path)).toBe(template);
});
