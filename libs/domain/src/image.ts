const DOCKER_HUB = 'docker.io';

/**
 * Whether the name of an image fits a pattern: `*` stands for anything within a part of the path,
 * `**` for anything. A pattern that gives no tag and no digest leaves both open. Short names are
 * those of Docker Hub, as the daemon has it: `redis` is `docker.io/library/redis`.
 */
export function matchesImage(image: string, pattern: string): boolean {
  const wanted = parts(pattern);
  const input = parts(image);
  const versioned = wanted.version !== '' && !pattern.startsWith('**');
  const asked = pattern.startsWith('**') ? pattern : wanted.name + wanted.version;
  return glob(asked).test(input.name + (versioned ? input.version : ''));
}

/** Whether the name of an image says which content it has, so that nobody can put another there. */
export function hasDigest(image: string): boolean {
  return /^(?:[^@]+@)?sha256:[0-9a-f]{64}$/.test(image);
}

function parts(image: string): { name: string; version: string } {
  // An image by its own id, which no registry has part in.
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
