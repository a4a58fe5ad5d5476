import { globSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');
const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));

/**
 * The package.json of a published package. It lists what its code and its declarations import, with
 * the versions of the workspace as the lowest ones.
 *
 * @param {import('./packages.mjs').PublishedPackage} published
 * @param {{ modules: Iterable<string>, types: Iterable<string> }} imported specifiers from outside
 * @param {string | undefined} repository such as `https://github.com/owner/name`; npm requires it for
 *   a provenance statement
 */
export function manifestOf(published, { modules, types }, repository) {
  const { name, description, keywords, node, folder, entry, bin } = published;
  const { version, license } = readJson(join(root, 'package.json'));
  const file = (extension) => `./dist/${folder}/${entry.replace(/\.ts$/, extension)}`;
  const program = { bin: { [bin]: file('.js') } };
  const library = {
    exports: {
      '.': { types: file('.d.ts'), default: file('.js') },
      './package.json': './package.json',
    },
    sideEffects: false,
  };
  const needsNodeTypes = [...types].some(isBuiltin);
  return {
    ...{ name, version, description, keywords, license, type: 'module' },
    ...(repository && {
      repository: { type: 'git', url: `git+${repository}.git`, directory: folder },
    }),
    engines: { node },
    ...(bin ? program : library),
    files: ['dist'],
    dependencies: dependenciesOf(modules, types),
    ...(needsNodeTypes && {
      peerDependencies: { '@types/node': '*' },
      peerDependenciesMeta: { '@types/node': { optional: true } },
    }),
  };
}

/** @throws Error if a package is imported that no package.json of the workspace lists */
function dependenciesOf(modules, types) {
  const packagesIn = (specifiers) => [...specifiers].filter((id) => !isBuiltin(id)).map(packageOf);
  const versions = workspaceVersions();
  const declared = packagesIn(types);
  // The workspace lists the types of packages that have none of their own.
  const separate = declared.map(typesOf).filter((name) => versions.has(name));
  const names = [...new Set([...packagesIn(modules), ...declared, ...separate])];
  return Object.fromEntries(
    names.sort().map((name) => {
      const version = versions.get(name);
      if (version === undefined) throw new Error(`no package.json of the workspace lists ${name}`);
      // A range, so that an application has one copy, and gets fixes.
      return [name, `^${version}`];
    }),
  );
}

/** The versions of all packages that the workspace lists. */
function workspaceVersions() {
  const manifests = globSync(['package.json', '{apps,libs,tests}/*/package.json'], { cwd: root });
  return new Map(
    manifests.flatMap((file) => {
      const { dependencies, devDependencies } = readJson(join(root, file));
      return Object.entries({ ...dependencies, ...devDependencies });
    }),
  );
}

/** `koa` of `koa`, `@koa/router` of `@koa/router/lib`. */
function packageOf(specifier) {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

/** `@types/koa` of `koa`, `@types/koa__router` of `@koa/router`. */
function typesOf(name) {
  return `@types/${name.replace(/^@/, '').replace('/', '__')}`;
}
