import { Webhook } from 'standardwebhooks';
import { expect, test } from 'vitest';
import { WebhookError, verifyWebhook } from './index.ts';

const EVENT = { seq: '1-0', type: 'ready' };
const BODY = JSON.stringify(EVENT);
const TEXT_SECRET = 'a shared secret';
const BASE64_SECRET = `whsec_${Buffer.from('a shared key of 24 bytes').toString('base64')}`;

function sign(signer: Webhook, at = new Date()) {
  return {
    'webhook-id': '1-0',
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': signer.sign('1-0', at, BODY),
  };
}
const textSigner = new Webhook(Buffer.from(TEXT_SECRET), { format: 'raw' });

test.each([
  ['a secret as text', TEXT_SECRET, sign(textSigner)],
  ['a secret in base64', BASE64_SECRET, sign(new Webhook(BASE64_SECRET))],
  ['the new one of two secrets', ['old', TEXT_SECRET], sign(textSigner)],
  ['headers of fetch', TEXT_SECRET, new Headers(sign(textSigner))],
  [
    'headers in another case',
    TEXT_SECRET,
    Object.fromEntries(Object.entries(sign(textSigner)).map(([k, v]) => [k.toUpperCase(), v])),
  ],
])('accepts %s', (_, secret, headers) => {
  expect(verifyWebhook({ body: BODY, headers, secret })).toEqual(EVENT);
  expect(verifyWebhook({ body: Buffer.from(BODY), headers, secret })).toEqual(EVENT);
});

test.each([
  ['another secret', { secret: 'other' }, /No matching signature/],
  ['a changed body', { body: `${BODY} ` }, /No matching signature/],
  ['no signature', { headers: {} }, /Missing required headers/],
  ['no secret', { secret: [] }, /no secret/],
  ['an old request', { headers: sign(textSigner, new Date(Date.now() - 600_000)) }, /too old/],
])('refuses %s', (_, change, message) => {
  const request = { body: BODY, headers: sign(textSigner), secret: TEXT_SECRET, ...change };
  expect(() => verifyWebhook(request)).toThrow(message);
  expect(() => verifyWebhook(request)).toThrow(WebhookError);
});
