import { randomBytes } from 'node:crypto';
import { createSigningKeys } from '@ephemera/config';
import { newId } from '@ephemera/domain';
import { expect, test, vi } from 'vitest';
import { instancesCookie, ownInstances } from './own-instances.ts';

const keys = createSigningKeys(() => ['k'.repeat(32)]);
const shared = instancesCookie({ path: '/demo', secure: true, isShared: true });
const own = ownInstances(shared, keys);
const ids = (count: number) => Array.from({ length: count }, () => newId(randomBytes));
/** A signature that no key has made. */
const WRONG = 'A'.repeat(43);
const valueOf = (setCookie: string) => setCookie.split(';')[0] ?? '';

test('the cookie is below the prefix, and on an origin without instances it cannot be planted', () => {
  const written = (secure: boolean, isShared: boolean) =>
    ownInstances(instancesCookie({ path: '/demo', secure, isShared }), keys).cookieOf([]);
  expect(written(false, true)).toBe('ephemera-instances=; Path=/demo; HttpOnly; SameSite=Lax');
  expect(written(true, true)).toBe(
    'ephemera-instances=; Path=/demo; HttpOnly; SameSite=Lax; Secure',
  );
  expect(written(false, false)).toBe('ephemera-instances=; Path=/demo; HttpOnly; SameSite=Lax');
  expect(written(true, false)).toBe(
    '__Host-ephemera-instances=; Path=/; HttpOnly; SameSite=Lax; Secure',
  );
});

test('where the cookie has the prefix __Host-, another one counts for nothing', () => {
  const host = ownInstances(instancesCookie({ path: '/', secure: true, isShared: false }), keys);
  const [id = ''] = ids(1);
  expect(host.has(valueOf(own.cookieOf([id])), id)).toBe(false);
  expect(host.list(valueOf(own.cookieOf([id])))).toEqual([]);
  expect(host.has(valueOf(host.cookieOf([id])), id)).toBe(true);
  expect(own.has(valueOf(host.cookieOf([id])), id)).toBe(false);
});

// A page of an instance can plant cookies, which the browser may send first.
test('planted cookies lock no browser out of its instances', () => {
  const [id = '', second = '', other = ''] = ids(3);
  const genuine = valueOf(own.cookieOf([id, second]));
  const signature = /\.([^~]*)/.exec(genuine)?.[1] ?? '';
  const forged = [
    ...Array.from({ length: 20 }, () => 'x'),
    ids(100).join('~'),
    ids(100)
      .map((planted) => `${planted}.${signature}`)
      .join('~'),
    `${id}.${WRONG}~`.repeat(100),
    `${id}.${'é'.repeat(43)}`,
  ];
  const header = [...forged.map((value) => `ephemera-instances=${value}`), genuine].join('; ');
  expect(own.list(header)).toEqual([id, second]);
  expect([id, second, other].map((known) => own.has(header, known))).toEqual([true, true, false]);
  // The signed ids of the instances that plant them.
  const planted = Array.from({ length: 5 }, () => valueOf(own.cookieOf(ids(8)))).join('; ');
  expect(own.has(`${planted}; ${genuine}`, second)).toBe(true);
  const listed = own.list(`${planted}; ${genuine}`);
  expect(listed).toHaveLength(32);
  expect(listed).toEqual(expect.arrayContaining([id, second]));
});

test('a request computes few signatures, whatever its cookies are', () => {
  const sign = vi.spyOn(keys, 'signByEach');
  const computed = () => {
    const { length } = sign.mock.calls;
    sign.mockClear();
    return length;
  };
  const [id = ''] = ids(1);
  const unsigned = `ephemera-instances=${ids(50).join('~')}~${id}.short`;
  expect([own.has(unsigned, id), own.list(unsigned), computed()]).toEqual([false, [], 0]);
  const header = Array.from(
    { length: 100 },
    (_, i) =>
      `ephemera-instances=${[...(i < 50 ? [id] : []), ...ids(8)].join(`.${WRONG}~`)}.${WRONG}`,
  ).join('; ');
  expect([own.has(header, id), computed()]).toEqual([false, 1]);
  expect([own.list(header), computed()]).toEqual([[], 64]);
  sign.mockRestore();
});

test('a signature proves only its own id, in a cookie of the right name', () => {
  const [id = '', other = ''] = ids(2);
  const item = valueOf(own.cookieOf([id])).split('=')[1] ?? '';
  const signature = item.split('.')[1] ?? '';
  expect(own.has(`ephemera-instances=${other}.${signature}`, id)).toBe(false);
  // Another name of the same length, beside an empty cookie of the right name.
  const misnamed = `ephemera-instancez=${item}; ephemera-instances=`;
  expect([own.has(misnamed, id), own.list(misnamed)]).toEqual([false, []]);
  expect([own.has(undefined, id), own.list(undefined)]).toEqual([false, []]);
});

test('a cookie lists the newest instances, and its signatures survive a rotation of the keys', () => {
  const all = ids(9);
  const old = valueOf(own.cookieOf(all));
  expect(own.list(old)).toEqual(all.slice(0, 8));
  expect(old).not.toContain(all[8]);
  const rotated = ownInstances(
    shared,
    createSigningKeys(() => ['n'.repeat(32), 'k'.repeat(32)]),
  );
  expect(rotated.list(old)).toEqual(all.slice(0, 8));
  expect(rotated.has(old, all[0] ?? '')).toBe(true);
});
