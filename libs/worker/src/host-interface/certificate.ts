import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';

/** The certificate of one process. Its private key never leaves the process. */
export interface Certificate {
  /** PEM. */
  readonly cert: string;
  /** PEM, PKCS #8. */
  readonly key: string;
  /** SHA-256 of the certificate, lowercase hexadecimal. Proxies accept no other certificate. */
  readonly fingerprint: string;
}

/** 2.5.4.3. */
const COMMON_NAME = Buffer.from('0603550403', 'hex');
/** 1.2.840.10045.4.3.2, in its sequence. */
const ECDSA_WITH_SHA256 = Buffer.from('300a06082a8648ce3d040302', 'hex');

/**
 * Makes a self-signed certificate (X.509 version 3, RFC 5280) with a new P-256 key. Clients compare
 * its fingerprint and check neither names nor dates, so it names nothing and does not expire.
 */
export function makeCertificate(): Certificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const name = sequence(set(sequence(COMMON_NAME, der(0x0c, Buffer.from('ephemera worker')))));
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    // A first byte of 1 keeps the number positive.
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    ECDSA_WITH_SHA256,
    name,
    // RFC 5280, section 4.1.2.5: 99991231235959Z means that there is no expiry.
    sequence(generalizedTime('20200101000000Z'), generalizedTime('99991231235959Z')),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
  );
  const signature = sign('sha256', body, privateKey);
  const certificate = sequence(
    body,
    ECDSA_WITH_SHA256,
    // A BIT STRING begins with the number of its unused bits.
    der(0x03, Buffer.concat([Buffer.from([0]), signature])),
  );
  const lines = certificate.toString('base64').match(/.{1,64}/g) ?? [];
  return {
    cert: ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n'),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    fingerprint: createHash('sha256').update(certificate).digest('hex'),
  };
}

/** One element in the Distinguished Encoding Rules (ITU-T X.690): tag, length, content. */
function der(tag: number, content: Buffer): Buffer {
  const { length } = content;
  if (length < 128) return Buffer.concat([Buffer.from([tag, length]), content]);
  const bytes = length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...bytes]), content]);
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(0x30, Buffer.concat(parts));
}

function set(...parts: readonly Buffer[]): Buffer {
  return der(0x31, Buffer.concat(parts));
}

function generalizedTime(text: string): Buffer {
  return der(0x18, Buffer.from(text));
}
