import { startOwnEngine as startEngine, startOwnMachine } from '@ephemera/test-support';
import type {
  OwnEngine as Engine,
  OwnEngineOptions as EngineOptions,
} from '@ephemera/test-support';
import type { OwnMachine, OwnMachineOptions } from '@ephemera/test-support';
import type Docker from 'dockerode';
import { connectDocker } from '../src/docker/connect-docker.ts';

/** A machine of the test's own with a Docker daemon on it. */
export interface OwnEngine
  extends Omit<OwnMachine, 'folder'>, Pick<Engine, 'dockerHost' | 'restart'> {
  readonly docker: Docker;
}

export type OwnEngineOptions = OwnMachineOptions & Omit<EngineOptions, 'folder' | 'spawn'>;

/** Starts a Docker daemon that may be restarted and whose firewall may be changed at will. */
export async function startOwnEngine(options: OwnEngineOptions): Promise<OwnEngine> {
  const machine = await startOwnMachine(options);
  try {
    const engine = await startEngine({
      ...options,
      folder: machine.folder,
      spawn: (...command) => machine.spawnIn('host', ...command),
    });
    return {
      ...machine,
      ...engine,
      docker: connectDocker(engine.dockerHost),
      async stop() {
        await engine.stop();
        await machine.stop();
      },
    };
  } catch (error) {
    await machine.stop();
    throw error;
  }
}
