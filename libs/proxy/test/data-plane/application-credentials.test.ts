import { expect, onTestFinished, test } from 'vitest';
import { type FixtureOptions, startFixture } from './fixture.ts';
import { handshake, SWITCH } from './handshake.ts';
import { open, send } from './raw.ts';
import { OK, startUpstream } from './upstream.ts';

// An application in front authenticates by `Authorization`. Browsers send that to its whole origin,
// which it shares with the path form of instances.

const CREDENTIALS = 'AUTHORIZATION: Basic YWRhOmVuZ2luZQ==\r\n';

/** Sends a request and a handshake. Returns the credentials that the instance got. */
async function credentialsSeen(options: FixtureOptions, host?: string): Promise<string[]> {
  const fixture = await startFixture(options);
  onTestFinished(() => fixture.stop());
  const upstream = await startUpstream(({ socket }, chunk) => {
    socket.write(/^upgrade: websocket\r$/im.test(chunk) ? SWITCH : OK);
  });
  onTestFinished(() => upstream.stop());
  const id = await fixture.ready(upstream.port);
  const target = host === undefined ? `/demo/${id}/` : '/';
  const authority = `Host: ${host === undefined ? 'a.example' : `${id}.${host}`}\r\n`;
  await send(fixture.port, `GET ${target} HTTP/1.1\r\n${authority}${CREDENTIALS}A: b\r\n\r\n`);
  const raw = open(fixture.port);
  const opening = handshake(id, '', CREDENTIALS)
    .replace(/^GET \S+/, `GET ${target}`)
    .replace(/^Host: .*\r\n/m, authority);
  raw.send(opening);
  await raw.until(/ 101 [^]*\r\n\r\n/);
  raw.socket.destroy();
  expect(upstream.requests).toHaveLength(2);
  expect(upstream.received).toContain('A: b\r\n');
  return upstream.received.match(/^authorization: .*/gim) ?? [];
}

test('an instance that shares the origin of the application gets none', async () => {
  expect(await credentialsSeen({ ownsAuthorization: true })).toEqual([]);
});

test.each<[string, FixtureOptions, string | undefined]>([
  ['on its own origin', { ownsAuthorization: true, domain: 'demos.example' }, 'demos.example'],
  ['of a replica', {}, undefined],
])('an instance %s gets what its visitor sends', async (_name, options, host) => {
  expect(await credentialsSeen(options, host)).toHaveLength(2);
});
