import { existsSync } from 'node:fs';

/**
 * Returns whether systemd is running. Its programs may be installed without it (containers, small
 * virtual machines). sd_booted(3) checks the same folder.
 */
export function hasServiceManager(folder = '/run/systemd/system'): boolean {
  return existsSync(folder);
}
