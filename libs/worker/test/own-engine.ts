import { startOwnEngine as startEngine, startOwnMachine } from '@ephemera/test-support';
import type {
  OwnEngine as Engine,
  OwnEngineOptions as EngineOptions,
} from '@ephemera/test-support';
import type { OwnMachine, OwnMachineOptions } from '@ephemera/test-support';
import type Docker from 'dockerode';
import { connectDocker } from '../src/docker/docker-client.ts';

/** A simulated machine of the test with its own Docker daemon. */
export interface OwnEngine
  extends Omit<OwnMachine, 'folder'>, Pick<Engine, 'dockerHost' | 'restart'> {
  readonly docker: Docker;
}

export type OwnEngineOptions = OwnMachineOptions & Omit<EngineOptions, 'folder' | 'spawn'>;

/** Starts a Docker daemon that the test may restart, with a firewall that it may change. */
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
