/**
 * A client of the control API of Ephemera, for Node, Bun and browsers.
 *
 * @module @ephemera/client
 */
export { createClient } from './client.ts';
export type {
  Client,
  EventFilter,
  Host,
  InstanceFilter,
  Link,
  LinkRequest,
  Stats,
  Template,
} from './client.ts';
export type { ConnectionOptions, Operations } from './call.ts';
export type { CreateOptions, CreateRequest } from './create.ts';
export {
  ConnectionError,
  EphemeraError,
  ProblemError,
  StreamCutError,
  UnexpectedResponseError,
  isProblem,
} from './errors.ts';
export type { Problem, ProblemKind } from './errors.ts';
export type { EventOptions } from './events.ts';
export type {
  CommandEnd,
  CommandOutput,
  CommandResult,
  ExecOptions,
  ExecSignal,
  RunningCommand,
  SpawnOptions,
} from './exec.ts';
export type {
  FileContent,
  FileData,
  FileList,
  ReadFileOptions,
  WriteFileOptions,
} from './files.ts';
export { Instance } from './instance.ts';
export type {
  CreatedData,
  InstanceData,
  LogOptions,
  MoveRequest,
  RenewRequest,
  Renewed,
  Usage,
} from './instance.ts';
export { NamedInstance } from './names.ts';
export type {
  DeleteNameOptions,
  NameData,
  NameMatch,
  Names,
  PutNameOptions,
  PutNameRequest,
} from './names.ts';
export { StartFailedError } from './wait.ts';
export type { StartProgress, WaitOptions } from './wait.ts';
export { WebhookError, verifyWebhook } from './webhook.ts';
export type { InstanceEvent, WebhookRequest } from './webhook.ts';
export type { components, paths } from './api-types.ts';
