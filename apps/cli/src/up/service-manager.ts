import { existsSync } from 'node:fs';

/**
 * Whether systemd runs here. Its programs may be installed where it is not (containers, small
 * virtual machines); this folder is what sd_booted(3) looks at.
 */
export function hasServiceManager(folder = '/run/systemd/system'): boolean {
  return existsSync(folder);
}
