import { isAbsolute } from 'node:path';
import type { Policy } from '@ephemera/domain';
import { z } from 'zod';

const capability = z.string().regex(/^[A-Z_]+$/, 'is no capability such as NET_BIND_SERVICE');
const word = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'is no name');
const seccomp = z
  .string()
  .refine(
    (text) => text === 'unconfined' || isAbsolute(text),
    'must be unconfined, or the absolute path of a profile',
  );

/** The fields of a template that say how it is kept apart from its host. */
export const isolationFields = {
  capAdd: z
    .array(capability)
    .prefault([])
    .describe('Capabilities given back; all are dropped. Each must be in `allow.capabilities`.'),
  egress: z
    .boolean()
    .prefault(false)
    .describe('Whether it may open connections outwards: to the internet, never to what is near.'),
  trusted: z
    .boolean()
    .prefault(false)
    .describe('Whether it may run on a host whose firewall could not be set.'),
  runtime: word
    .optional()
    .describe(
      "The daemon's runtime that runs it, `runsc` say; must be in `allow.runtimes`, and known to the daemon.",
    ),
  seccomp: seccomp
    .optional()
    .describe(
      "A seccomp profile: the absolute path of its JSON on the worker, or `unconfined`; must be in `allow.seccomp`. The daemon's own where absent.",
    ),
  apparmor: word
    .optional()
    .describe(
      "An AppArmor profile that the host has loaded; must be in `allow.apparmor`. The daemon's own where absent.",
    ),
  userns: z
    .enum(['remapped', 'host'])
    .optional()
    .describe(
      '`remapped`: only on a daemon that maps users (`userns-remap`); `host`: its users are those of the host even there, which must be in `allow.userns`.',
    ),
};

export const allowSchema = z
  .strictObject({
    capabilities: z
      .array(capability)
      .prefault([])
      .describe('Capabilities that a template may ask for in `capAdd`.'),
    runtimes: z.array(word).prefault([]).describe('Runtimes of the daemon.'),
    seccomp: z.array(seccomp).prefault([]).describe('Profiles by their path, or `unconfined`.'),
    apparmor: z.array(word).prefault([]).describe('AppArmor profiles.'),
    userns: z.array(z.literal('host')).prefault([]).describe('`host`, or nothing.'),
  })
  .prefault({});

export const imagesSchema = z
  .strictObject({
    allow: z
      .array(z.string().min(1, 'must be a pattern such as ghcr.io/acme/*'))
      .optional()
      .describe(
        'Patterns, one of which every image must fit: `*` within a part of the path, `**` for anything; any image where absent.',
      ),
    requireDigest: z
      .boolean()
      .prefault(false)
      .describe('Whether every image must be named by its digest: `app@sha256:…`.'),
  })
  .prefault({});

/** The fields of the file that bound what templates may ask for. */
export const policySchema = { allow: allowSchema, images: imagesSchema };

export function policyOf(input: {
  readonly allow: z.output<typeof allowSchema>;
  readonly images: z.output<typeof imagesSchema>;
}): Policy {
  const { allow, images } = input;
  return { ...allow, images: images.allow, requireDigest: images.requireDigest };
}
