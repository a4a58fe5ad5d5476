const DOCKER_HUB = 'docker.io';

/**
 * Whether an image name matches a pattern. `*` matches any text within one path segment, `**`
 * matches any text. A pattern without a tag and without a digest matches every version. Short names
 * belong to Docker Hub, as in the daemon: `redis` is `docker.io/library/redis`.
 */
export function matchesImage(image: string, pattern: string): boolean {
  const patternParts = parts(pattern);
  const imageParts = parts(image);
  const versioned = patternParts.version !== '' && !pattern.startsWith('**');
  const fullPattern = pattern.startsWith('**') ? pattern : patternParts.name + patternParts.version;
  return glob(fullPattern).test(imageParts.name + (versioned ? imageParts.version : ''));
}

/** Whether the name contains a digest, so that its content cannot change. */
export function hasDigest(image: string): boolean {
  return /^(?:[^@]+@)?sha256:[0-9a-f]{64}$/.test(image);
}

function parts(image: string): { name: string; version: string } {
  // An image ID, which has no registry.
  if (image.startsWith('sha256:')) return { name: image, version: '' };
  const digest = image.indexOf('@');
  const named = digest < 0 ? image : image.slice(0, digest);
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1);
  const path = colon < 0 ? named : named.slice(0, colon);
  return { name: withRegistry(path), version: image.slice(path.length) };
}

function withRegistry(path: string): string {
  const [first = '', ...rest] = path.split('/');
  if (rest.length === 0) return `${DOCKER_HUB}/library/${first}`;
  if (first === 'index.docker.io') return withRegistry(rest.join('/'));
  if (first.includes('.') || first.includes(':') || first === 'localhost') return path;
  return `${DOCKER_HUB}/${path}`;
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
