import { join } from 'node:path';
import { OptionDefaults } from 'typedoc';

const root = join(import.meta.dirname, '../..');

/** Tags of the generated types of the control API. */
const GENERATED = ['@description', '@format'];

/** @type {Partial<import('typedoc').TypeDocOptions>} */
export default {
  name: 'Ephemera',
  entryPoints: ['client', 'embed'].map((name) => join(root, `libs/${name}/src/index.ts`)),
  tsconfig: join(import.meta.dirname, 'tsconfig.json'),
  // `npm run check` checks the types.
  skipErrorChecking: true,
  displayBasePath: join(root, 'libs'),
  out: join(root, '.ephemera/api-docs'),
  readme: 'none',
  disableSources: true,
  excludeExternals: true,
  excludePrivate: true,
  githubPages: false,
  blockTags: [...OptionDefaults.blockTags, ...GENERATED],
  validation: { notExported: true, invalidLink: true, notDocumented: true },
  // Generated; each operation describes itself.
  intentionallyNotDocumented: ['components', 'paths'].map((name) => `@ephemera/client.${name}`),
  packagesRequiringDocumentation: ['@ephemera/client', '@ephemera/embed'],
  requiredToBeDocumented: [
    ...['Class', 'Function', 'Interface', 'TypeAlias', 'Variable'],
    ...['Method', 'Accessor'],
  ],
  treatWarningsAsErrors: true,
  logLevel: 'Warn',
};
