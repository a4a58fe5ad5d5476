import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, posix, resolve } from 'node:path';
import { compileDeclarations, compileModules, copyDeclarations } from './compile.mjs';
import { manifestOf } from './manifest.mjs';
import { PACKAGES } from './packages.mjs';

/** See scripts/build-packages.mjs. */

const root = join(import.meta.dirname, '../..');

/**
 * Builds a package and packs it as npm would publish it.
 *
 * @param {import('./packages.mjs').PublishedPackage} published
 * @param {{ declarations: string, folder: string, isDryRun: boolean, repository: string | undefined }} options
 * @returns {Promise<{ filename: string, size: number, files: { path: string, size: number }[] }>}
 */
async function pack(published, { declarations, folder, isDryRun, repository }) {
  const stage = mkdtempSync(join(tmpdir(), 'ephemera-package-'));
  try {
    const entry = `${published.folder}/${published.entry}`;
    const outDir = join(stage, 'dist');
    const modules = await compileModules(entry, outDir);
    const types = published.bin ? [] : copyDeclarations(entry, declarations, outDir);
    const manifest = manifestOf(published, { modules, types }, repository);
    writeFileSync(join(stage, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
    writeFileSync(join(stage, 'README.md'), readmeOf(published, repository));
    copyFileSync(join(root, 'LICENSE'), join(stage, 'LICENSE'));
    const mode = isDryRun ? ['--dry-run'] : ['--pack-destination', folder];
    const options = { cwd: stage, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] };
    const output = execFileSync('npm', ['pack', '--json', ...mode], options);
    // npm 11.19 maps names to packages, earlier versions list them.
    const [packed] = Object.values(JSON.parse(output));
    return packed;
  } finally {
    rmSync(stage, { recursive: true });
  }
}

/** The README, with links into the repository where it is known: on npm there is no other file. */
function readmeOf({ readme }, repository) {
  const text = readFileSync(join(root, readme), 'utf8');
  if (!repository) return text;
  return text.replace(/\]\((\.{1,2}\/[^)#]+)/g, (_, path) => {
    return `](${repository}/blob/main/${posix.join(posix.dirname(readme), path)}`;
  });
}

const { GITHUB_SERVER_URL, GITHUB_REPOSITORY } = process.env;
const args = process.argv.slice(2);
const isDryRun = args.includes('--dry-run');
const folder = resolve(args.find((arg) => !arg.startsWith('--')) ?? '.');
if (!isDryRun) mkdirSync(folder, { recursive: true });
const repository = GITHUB_REPOSITORY && `${GITHUB_SERVER_URL}/${GITHUB_REPOSITORY}`;
const declarations = mkdtempSync(join(tmpdir(), 'ephemera-declarations-'));
try {
  compileDeclarations(declarations);
  for (const published of PACKAGES) {
    const options = { declarations, folder, isDryRun, repository };
    const { filename, size, files } = await pack(published, options);
    if (!isDryRun) console.log(join(folder, filename));
    else {
      console.log(`${filename}: ${files.length} files, ${Math.ceil(size / 1024)} KiB`);
      for (const { path } of files) console.log(`  ${path}`);
    }
  }
} finally {
  rmSync(declarations, { recursive: true });
}
