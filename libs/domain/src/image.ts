/** Docker's name for its own registry. */
export const DOCKER_HUB = 'docker.io';

/** The name of an image as Docker normalises it. */
interface ImageName {
  /** Registry in lower case, and path: `docker.io/library/redis`. */
  readonly name: string;
  /** `:tag`, or `@digest`. Docker ignores a tag beside a digest. */
  readonly version: string;
}

/**
 * Whether an image name matches a pattern. `*` matches any text within one path segment, `**`
 * matches any text. A pattern without a tag and without a digest, or with the tag `*`, matches every
 * version. Both are normalised as Docker does: `redis` is `docker.io/library/redis:latest`, and
 * capitals in the registry do not matter.
 *
 * An image id, whole or shortened, is no name: only the pattern `**` and patterns of ids
 * (`sha256:*`) match it.
 */
export function matchesImage(image: string, pattern: string): boolean {
  if (pattern === '**') return true;
  const isIdPattern = pattern.startsWith('sha256:');
  if (isImageId(image) || isIdPattern) {
    return image.startsWith('sha256:') && isIdPattern && glob(pattern).test(image);
  }
  const expected = normalize(pattern);
  const actual = normalize(image);
  if (!glob(expected.name).test(actual.name)) return false;
  const isAnyVersion = !hasVersion(pattern) || expected.version === ':*';
  return isAnyVersion || glob(expected.version).test(actual.version);
}

/** Whether the name contains a digest, so that its content cannot change. */
export function hasDigest(image: string): boolean {
  return /^(?:[^@]+@)?sha256:[0-9a-f]{64}$/.test(image);
}

/**
 * Whether Docker may take a text for the id of an image: it tries `sha256:…` and bare hexadecimal
 * digits as the first digits of an id, if it has no image of that name.
 */
export function isImageId(image: string): boolean {
  return /^(?:sha\d+:.*|[0-9a-f]+)$/is.test(image);
}

/** The name of the image with this digest: the digest takes the place of a tag. */
export function withDigest(image: string, digest: string): string {
  const tag = tagAt(image);
  return `${tag < 0 ? image : image.slice(0, tag)}@${digest}`;
}

function hasVersion(image: string): boolean {
  return image.includes('@') || tagAt(image) >= 0;
}

/** Position of the colon of a tag; -1 if there is none. */
function tagAt(image: string): number {
  return image.indexOf(':', image.lastIndexOf('/') + 1);
}

function normalize(image: string): ImageName {
  const digest = image.indexOf('@');
  const named = digest < 0 ? image : image.slice(0, digest);
  const tag = tagAt(named);
  const path = tag < 0 ? named : named.slice(0, tag);
  const version = digest < 0 ? named.slice(path.length) || ':latest' : image.slice(digest);
  return { name: withRegistry(path), version };
}

/** Adds the registry, and `library` of Docker Hub. `**` at the start of a pattern includes both. */
function withRegistry(path: string): string {
  if (path.startsWith('**')) return path;
  const first = registryPart(path);
  const registry = registryOf(path);
  const rest = first === undefined ? path : path.slice(first.length + 1);
  const isOfficial = registry === DOCKER_HUB && !rest.includes('/') && rest !== '**';
  return isOfficial ? `${registry}/library/${rest}` : `${registry}/${rest}`;
}

/** The registry of an image name as Docker normalises it: `docker.io` if the name has none. */
export function registryOf(image: string): string {
  return registryName(registryPart(image) ?? DOCKER_HUB);
}

/** The name of a registry as Docker normalises it. Docker Hub has an old second name. */
export function registryName(host: string): string {
  const name = host.toLowerCase();
  return name === 'index.docker.io' ? DOCKER_HUB : name;
}

/** The first segment is a registry if it has a dot, a port or a capital, or is `localhost`. */
function registryPart(path: string): string | undefined {
  const slash = path.indexOf('/');
  const first = path.slice(0, Math.max(slash, 0));
  const isRegistry = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase();
  return isRegistry ? first : undefined;
}

function glob(pattern: string): RegExp {
  const source = pattern
    .split(/(\*+)/)
    .map((part) => {
      if (!part.startsWith('*')) return part.replace(/[.+?^${}()|[\]\\/]/g, '\\$&');
      return part.length > 1 ? '.*' : '[^/]*';
    })
    .join('');
  return new RegExp(`^${source}$`);
}
