import { execFile, spawn } from 'node:child_process';
import { createReadStream, existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../../..');

export interface NpmRegistry {
  /** Paths of the packages of this workspace, as they would be published. */
  readonly tarballs: readonly string[];
  /** The environment in which npm installs from this registry, with nothing of the user's own. */
  readonly env: Readonly<Record<string, string>>;
  /** The address of a registry without packages. */
  readonly empty: string;
  stop(): Promise<void>;
}

/** A package as npm reads it: its package.json, and what sends its tarball. */
interface Served {
  readonly manifest: { readonly name: string; readonly version: string };
  send(res: ServerResponse): void;
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly name?: string; readonly link?: boolean }>>;
}

/**
 * Starts a registry for npm. It has the published packages of this workspace, built from its sources,
 * and the packages in its node_modules, in the versions of the lock file. So a test installs a
 * package as its users do, without a network.
 */
export async function startNpmRegistry(): Promise<NpmRegistry> {
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-registry-'));
  const build = [join(root, 'scripts/publish/main.mjs'), folder];
  const { stdout } = await run(process.execPath, build, { cwd: root });
  const tarballs = stdout.trim().split('\n');
  const served = [...installedPackages(), ...(await Promise.all(tarballs.map(packedPackage)))];
  const byName = Map.groupBy(served, ({ manifest }) => manifest.name);
  let url = '';

  const packument = (name: string, versions: readonly Served[]) => {
    const entries = versions.map(({ manifest }) => [
      manifest.version,
      { ...manifest, dist: { tarball: `${url}${name}/-/${manifest.version}.tgz` } },
    ]);
    const latest = versions[0]?.manifest.version;
    return { name, 'dist-tags': { latest }, versions: Object.fromEntries(entries) as unknown };
  };

  const server = createServer((req, res) => {
    const [name = '', version] = decodeURIComponent((req.url ?? '').slice(1)).split('/-/');
    const versions = byName.get(name) ?? [];
    const wanted = versions.find(({ manifest }) => `${manifest.version}.tgz` === version);
    if (req.method === 'GET' && wanted) {
      wanted.send(res);
    } else if (req.method === 'GET' && version === undefined && versions.length > 0) {
      res.setHeader('content-type', 'application/json');
      res.end(JSON.stringify(packument(name, versions)));
    } else {
      res.writeHead(404, { 'content-type': 'application/json' }).end('{"error":"not found"}');
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return {
    tarballs,
    empty: `${url}empty/`,
    env: {
      HOME: folder,
      npm_config_registry: url,
      npm_config_cache: join(folder, 'cache'),
      npm_config_userconfig: join(folder, 'npmrc'),
      npm_config_audit: 'false',
      npm_config_fund: 'false',
      npm_config_update_notifier: 'false',
      // Those of the dependencies build optional code, for which they need a network.
      npm_config_ignore_scripts: 'true',
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The packages of the lock file that are installed here. Those of other platforms are not. */
function installedPackages(): Served[] {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock;
  return Object.entries(packages)
    .filter(([path, { link }]) => path.includes('node_modules/') && link !== true)
    .map(([path]) => join(root, path))
    .filter((folder) => existsSync(join(folder, 'package.json')))
    .map((folder) => ({
      manifest: JSON.parse(
        readFileSync(join(folder, 'package.json'), 'utf8'),
      ) as Served['manifest'],
      send(res) {
        const name = basename(folder);
        const args = ['-C', dirname(folder), `--transform=s,^${name},package,S`];
        const tar = spawn('tar', ['-cz', ...args, `--exclude=${name}/node_modules`, name], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        tar.stdout.pipe(res);
      },
    }));
}

async function packedPackage(tarball: string): Promise<Served> {
  const { stdout } = await run('tar', ['-xzOf', tarball, 'package/package.json']);
  return {
    manifest: JSON.parse(stdout) as Served['manifest'],
    send: (res) => void createReadStream(tarball).pipe(res),
  };
}
