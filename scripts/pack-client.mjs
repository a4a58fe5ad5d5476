import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(import.meta.dirname, '..');
const source = join(root, 'libs/client');

/**
 * Packs `@ephemera/client` for npm: compiled to JavaScript, because Node strips no types below
 * node_modules, with declarations. Publishes nothing.
 *
 * @param {string} folder where the tarball is written
 * @returns {string} path of the tarball
 */
export function packClient(folder) {
  const stage = mkdtempSync(join(tmpdir(), 'ephemera-client-'));
  try {
    compile(join(stage, 'dist'));
    const { name, version, license, type, dependencies } = readJson(join(source, 'package.json'));
    const manifest = {
      ...{ name, version, license, type, dependencies },
      description: 'A client of the control API of Ephemera, for Node, Bun and browsers',
      exports: { '.': { types: './dist/index.d.ts', default: './dist/index.js' } },
      files: ['dist'],
      sideEffects: false,
    };
    writeFileSync(join(stage, 'package.json'), JSON.stringify(manifest, null, 2));
    copyFileSync(join(source, 'README.md'), join(stage, 'README.md'));
    copyFileSync(join(root, 'LICENSE'), join(stage, 'LICENSE'));
    mkdirSync(folder, { recursive: true });
    const options = { cwd: stage, encoding: 'utf8' };
    const output = execFileSync('npm', ['pack', '--json', '--pack-destination', folder], options);
    // npm 11.19 maps names to packages, earlier versions list them.
    const [{ filename }] = Object.values(JSON.parse(output));
    return join(folder, filename);
  } finally {
    rmSync(stage, { recursive: true });
  }
}

/** Compiles the sources without their tests. @throws Error with the messages of the compiler */
function compile(outDir) {
  const config = join(source, `.tsconfig.pack-${process.pid}.json`);
  const compilerOptions = {
    ...{ noEmit: false, declaration: true, incremental: false, tsBuildInfoFile: null },
    ...{ rewriteRelativeImportExtensions: true, rootDir: 'src', outDir },
  };
  const settings = { extends: '../../tsconfig.json', compilerOptions, include: [] };
  writeFileSync(config, JSON.stringify({ ...settings, files: ['src/index.ts'] }));
  try {
    const compiler = join(root, 'node_modules/typescript7/bin/tsc');
    execFileSync(process.execPath, [compiler, '-p', config], { stdio: 'pipe', encoding: 'utf8' });
  } catch (error) {
    throw new Error(`@ephemera/client does not compile:\n${error.stdout}`, { cause: error });
  } finally {
    rmSync(config);
  }
}

const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log(packClient(resolve(process.argv[2] ?? '.')));
}
