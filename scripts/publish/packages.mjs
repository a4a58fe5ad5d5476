/**
 * The packages that are published to npm. Each is compiled from libraries of this workspace, which
 * are private: their code is a part of the package, and the packages that it imports are its
 * dependencies.
 *
 * @typedef {object} PublishedPackage
 * @property {string} name name on npm
 * @property {string} folder folder of its workspace package, relative to the root
 * @property {string} entry source file, relative to `folder`
 * @property {string} [bin] command that runs the entry; without it, programs import the entry
 * @property {string} readme relative to the root
 * @property {string} description
 * @property {string[]} keywords
 * @property {string} node the supported versions of Node
 */

/** @type {readonly PublishedPackage[]} */
export const PACKAGES = [
  {
    name: '@ephemera/client',
    folder: 'libs/client',
    entry: 'src/index.ts',
    readme: 'libs/client/README.md',
    description: 'A client of the control API of Ephemera, for Node, Bun and browsers',
    keywords: ['ephemera', 'docker', 'containers', 'sandbox', 'preview', 'client'],
    node: '>=20.11',
  },
  {
    name: '@ephemera/embed',
    folder: 'libs/embed',
    entry: 'src/index.ts',
    readme: 'libs/embed/README.md',
    description: 'Ephemeral Docker containers inside a Koa, Express, Fastify or node:http server',
    keywords: ['ephemera', 'docker', 'containers', 'proxy', 'koa', 'express', 'fastify'],
    node: '>=24.11',
  },
  {
    name: 'ephemera',
    folder: 'apps/cli',
    entry: 'src/main.ts',
    bin: 'ephemera',
    readme: 'apps/cli/README.md',
    description: 'The command line of Ephemera, a reverse proxy for ephemeral Docker containers',
    keywords: ['ephemera', 'docker', 'containers', 'preview', 'cli'],
    node: '>=22.12',
  },
];
