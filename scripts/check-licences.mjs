import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** SPDX ids of licences that ask for no more than a notice. */
const ALLOWED = new Set([
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'ISC',
  'MIT',
  'Unlicense',
]);

/**
 * Whether an SPDX expression is allowed: one side of each `OR`, and both sides of each `AND`. A nested
 * expression is refused, so that a person reads it.
 *
 * @param {string} expression such as `MIT` or `(MIT OR GPL-2.0-only)`
 */
export function isAllowed(expression) {
  const flat = expression.replace(/^\(([^()]*)\)$/, '$1');
  return flat.split(' OR ').some((side) => side.split(' AND ').every((id) => ALLOWED.has(id)));
}

/** The licence in a package.json, also in the form before SPDX. Empty if it names none. */
function licenceOf({ license, licenses = [] }) {
  const named = typeof license === 'string' ? [license] : [license, ...licenses].flat();
  return named
    .map((entry) => (typeof entry === 'string' ? entry : entry?.type))
    .filter((entry) => entry !== undefined)
    .join(' OR ');
}

/**
 * Checks the packages that an installation without development packages has. The installed
 * package.json decides; the lock file does for an optional package of another platform.
 *
 * @param {string} root folder of package-lock.json and node_modules
 * @returns {string[]} one line for each package whose licence is not allowed
 */
export function refusedLicences(root) {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  return Object.entries(packages)
    .filter(([path, { dev, link }]) => path.includes('node_modules/') && !dev && !link)
    .flatMap(([path, locked]) => {
      const file = join(root, path, 'package.json');
      const manifest = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : locked;
      const licence = licenceOf(manifest);
      if (isAllowed(licence)) return [];
      return [`${path}@${locked.version}: ${licence || 'no licence is named'}`];
    });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const refused = refusedLicences(join(import.meta.dirname, '..'));
  for (const line of refused) console.error(line);
  if (refused.length > 0) {
    console.error(
      'These production packages have a licence that scripts/check-licences.mjs does not list. ' +
        'Replace the package, or add the SPDX id after a review of its terms.',
    );
    process.exitCode = 1;
  }
}
