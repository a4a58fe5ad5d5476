import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { rolldown } from 'rolldown';
import ts from 'typescript';

const root = join(import.meta.dirname, '../..');
/** Syntax that every supported Node, Bun and browser has. */
const TARGET = 'es2022';
const WORKSPACE = /^@ephemera\/([a-z-]+)$/;
/** `new URL('./file', import.meta.url)`: a file that a module reads at run time. */
const READ_FILE = /new URL\(\s*['"](\.{1,2}\/[^'"$]+)['"],\s*import\.meta\.url/g;
/** A statement in the first column that neither declares, imports nor exports. */
const STATEMENT =
  /^(?:(?:await |new )?[\w.]+\(|[\w.]+(?:\[.*\])? [-+]?= |(?:for|if|while|try|switch)\b)/m;

/** Whether an import leads out of the workspace, to a package or to a module of Node. */
const isOutside = (specifier) => !/^[./]/.test(specifier) && !WORKSPACE.test(specifier);

/**
 * Compiles a module, and all of the workspace that it uses, to JavaScript. Each file keeps its path,
 * because modules read files beside them. Code that is not used is left out.
 *
 * @param {string} entry path of the source, relative to the root
 * @param {string} outDir
 * @returns {Promise<Set<string>>} the specifiers that are imported from outside the workspace
 */
export async function compileModules(entry, outDir) {
  const bundle = await rolldown({
    cwd: root,
    input: join(root, entry),
    external: isOutside,
    platform: 'node',
    treeshake: { moduleSideEffects: (id, isExternal) => !isExternal && hasEffect(id) },
    transform: { target: TARGET },
    tsconfig: false,
  });
  const { output } = await bundle.write({
    ...{ dir: outDir, format: 'esm', entryFileNames: '[name].js' },
    ...{ preserveModules: true, preserveModulesRoot: root },
  });
  await bundle.close();
  const chunks = output.filter(({ type }) => type === 'chunk');
  for (const { moduleIds } of chunks) for (const id of moduleIds) copyFilesBeside(id, outDir);
  const files = new Set(output.map(({ fileName }) => fileName));
  const imported = chunks.flatMap(({ imports, dynamicImports }) => [...imports, ...dynamicImports]);
  return new Set(imported.filter((specifier) => !files.has(specifier)));
}

/** Whether a module does more than define what it exports: it has a statement at the top level. */
function hasEffect(source) {
  return existsSync(source) && STATEMENT.test(readFileSync(source, 'utf8'));
}

/** Copies what a module may read at run time: files that it names, and files of a folder beside it. */
function copyFilesBeside(source, outDir) {
  if (!source.startsWith(root) || !existsSync(source)) return;
  const text = readFileSync(source, 'utf8');
  const folder = dirname(source);
  const named = [...text.matchAll(READ_FILE)].map(([, path]) => join(folder, path));
  const others = text.includes('import.meta.url')
    ? globSync('**/*', { cwd: folder }).filter((name) => /\.(lua|html|css|js)$/.test(name))
    : [];
  for (const path of [...named, ...others.map((name) => join(folder, name))]) {
    const copy = join(outDir, relative(root, path));
    mkdirSync(dirname(copy), { recursive: true });
    copyFileSync(path, copy);
  }
}

/**
 * Writes the declarations of all libraries: those of one refer to others.
 *
 * @param {string} outDir
 * @throws Error with the messages of the compiler
 */
export function compileDeclarations(outDir) {
  const config = join(outDir, 'tsconfig.json');
  const compilerOptions = {
    ...{ noEmit: false, declaration: true, emitDeclarationOnly: true, rootDir: root, outDir },
    ...{
      incremental: false,
      tsBuildInfoFile: null,
      typeRoots: [join(root, 'node_modules/@types')],
    },
  };
  // Each by its path: the compiler writes nothing for a file that it reaches through node_modules.
  const files = globSync('libs/*/src/**/*.ts', { cwd: root })
    .filter((file) => !file.endsWith('.test.ts'))
    .map((file) => join(root, file));
  const settings = { extends: join(root, 'tsconfig.json'), compilerOptions, include: [], files };
  mkdirSync(outDir, { recursive: true });
  writeFileSync(config, JSON.stringify(settings));
  const compiler = join(root, 'node_modules/typescript7/bin/tsc');
  try {
    execFileSync(process.execPath, [compiler, '-p', config], { stdio: 'pipe', encoding: 'utf8' });
  } catch (error) {
    throw new Error(`the libraries do not compile:\n${error.stdout}`, { cause: error });
  }
}

/**
 * Copies the declarations of a module, and those that they refer to. Their imports of the workspace
 * become relative ones.
 *
 * @param {string} entry path of the source, relative to the root
 * @param {string} from the folder that `compileDeclarations` has filled
 * @param {string} to
 * @returns {Set<string>} the specifiers that are imported from outside the workspace
 */
export function copyDeclarations(entry, from, to) {
  const outside = new Set();
  const seen = new Set([entry.replace(/\.ts$/, '.d.ts')]);
  for (const file of seen) {
    let text = readFileSync(join(from, file), 'utf8');
    // From the end, so that the positions before stay right.
    for (const { fileName, pos } of ts.preProcessFile(text).importedFiles.reverse()) {
      const target = targetOf(fileName, file);
      if (target === undefined) {
        outside.add(fileName);
        continue;
      }
      seen.add(target);
      const path = relative(dirname(file), target).replace(/\.d\.ts$/, '.js');
      const specifier = path.startsWith('.') ? path : `./${path}`;
      // `pos` is that of the quote.
      text = text.slice(0, pos + 1) + specifier + text.slice(pos + 1 + fileName.length);
    }
    mkdirSync(dirname(join(to, file)), { recursive: true });
    writeFileSync(join(to, file), text);
  }
  return outside;
}

/** The declaration file that an import leads to. Undefined if it is outside the workspace. */
function targetOf(specifier, file) {
  const [, library] = WORKSPACE.exec(specifier) ?? [];
  if (library !== undefined) return `libs/${library}/src/index.d.ts`;
  if (!specifier.startsWith('.')) return undefined;
  return join(dirname(file), specifier).replace(/\.[jt]s$/, '.d.ts');
}
