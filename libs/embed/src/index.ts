/**
 * Ephemera inside an application: its server, its login, its routes.
 *
 * @module @ephemera/embed
 */
export { BootError } from '@ephemera/domain';
export { ConfigError } from '@ephemera/config';
export { createEphemera } from './create-ephemera.ts';
export type {
  CloseOptions,
  ContainerOptions,
  CreateOptions,
  Ephemera,
  KillAllOptions,
} from './create-ephemera.ts';
export { EphemeraError } from './error.ts';
export type { AdapterOptions, NodeHandler } from './adapters.ts';
export type { EphemeralInstance, Ended, WaitOptions } from './instance.ts';
export type { EphemeraOptions, TemplateOptions, WorkerOptions } from './options.ts';
export type { OwnerOf } from './owner.ts';
export type { AttachOptions } from './request-handler.ts';
