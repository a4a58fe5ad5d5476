import { isAbsolute } from 'node:path';
import type { Policy } from '@ephemera/domain';
import { z } from 'zod';

const capability = z.string().regex(/^[A-Z_]+$/, 'is not a capability such as NET_BIND_SERVICE');
const word = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'is not a valid name');
const seccomp = z
  .string()
  .refine(
    (text) => text === 'unconfined' || isAbsolute(text),
    'must be unconfined, or the absolute path of a profile',
  );

/** Template fields for isolation from the host. */
export const isolationFields = {
  profile: z
    .enum(['strict', 'docker'])
    .prefault('strict')
    .describe(
      'Defaults of `user`, `readOnly` and the capabilities. `strict`: user `65534:65534`, a read-only root file system, no capabilities. `docker`: the user of the image, a writable root file system, and the capabilities that Docker gives by default, without `NET_RAW`; `allow.profiles` must list it. Single options still override. The limits, `no-new-privileges` and the firewall apply to both.',
    ),
  capAdd: z
    .array(capability)
    .prefault([])
    .describe(
      'Linux capabilities to add. All others are dropped. Each must be listed in `allow.capabilities`.',
    ),
  egress: z
    .boolean()
    .prefault(false)
    .describe(
      'Whether the instance may open connections to the internet. Private and link-local ranges stay blocked.',
    ),
  trusted: z
    .boolean()
    .prefault(false)
    .describe('Whether the template may start on a host where the firewall rules cannot be set.'),
  runtime: word
    .optional()
    .describe(
      'Container runtime, such as `runsc`. The Docker daemon must know it, and `allow.runtimes` must list it. Default: the runtime of the daemon.',
    ),
  seccomp: seccomp
    .optional()
    .describe(
      'Seccomp profile: the absolute path of a JSON file on the worker, or `unconfined`. `allow.seccomp` must list it. Default: the profile of the daemon.',
    ),
  apparmor: word
    .optional()
    .describe(
      'AppArmor profile that is loaded on the host. `allow.apparmor` must list it. Default: the profile of the daemon.',
    ),
  userns: z
    .enum(['remapped', 'host'])
    .optional()
    .describe(
      'User namespace. `remapped`: start only on a daemon with `userns-remap`. `host`: use the user ids of the host even on such a daemon; `allow.userns` must list it.',
    ),
};

export const allowSchema = z
  .strictObject({
    profiles: z
      .array(z.literal('docker'))
      .prefault([])
      .describe('`[docker]` allows templates with `profile: docker`.'),
    capabilities: z
      .array(capability)
      .prefault([])
      .describe('Capabilities that templates may add with `capAdd`.'),
    runtimes: z.array(word).prefault([]).describe('Container runtimes that templates may use.'),
    seccomp: z
      .array(seccomp)
      .prefault([])
      .describe('Seccomp profiles that templates may use: absolute paths, or `unconfined`.'),
    apparmor: z.array(word).prefault([]).describe('AppArmor profiles that templates may use.'),
    userns: z
      .array(z.literal('host'))
      .prefault([])
      .describe('`[host]` allows templates with `userns: host`.'),
  })
  .prefault({});

/** A pattern of image names, as `matchesImage` reads it. */
export const imagePattern = z
  .string()
  .regex(/^[^\s\0]+$/, 'must be a pattern such as ghcr.io/acme/*, without spaces');

export const imagesSchema = z
  .strictObject({
    allow: z
      .array(imagePattern)
      .optional()
      .describe(
        'Patterns; every image must match one of them. `*` matches within one segment of the name, `**` matches anything. Names are compared as Docker normalises them: `redis` is `docker.io/library/redis:latest`. An image id, whole or shortened, matches only `**` and `sha256:*`. Default: every image is allowed.',
      ),
    requireDigest: z
      .boolean()
      .prefault(false)
      .describe('Whether every image must be pinned by digest: `app@sha256:…`.'),
  })
  .prefault({});

/** The fields of the file that restrict the options of templates. */
export const policySchema = { allow: allowSchema, images: imagesSchema };

export function policyOf(input: {
  readonly allow: z.output<typeof allowSchema>;
  readonly images: z.output<typeof imagesSchema>;
}): Policy {
  const { allow, images } = input;
  return { ...allow, images: images.allow, requireDigest: images.requireDigest };
}

/** The fields of the file that give this policy. */
export function policyFields({ images, requireDigest, ...allow }: Policy) {
  return {
    allow: allow as z.input<typeof allowSchema>,
    images: { ...(images && { allow: [...images] }), requireDigest },
  };
}
