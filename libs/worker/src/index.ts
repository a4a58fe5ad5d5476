export * from './create-worker.ts';
export { buildImage } from './docker/build-image.ts';
export { connectDocker } from './docker/docker-client.ts';
export { hostName } from './docker/daemon-info.ts';
export { drainSince, removeSince } from './remove-since.ts';
export { openRunStore } from './run-store.ts';
export type { RunStore } from './run-store.ts';
export { NOTHING, snapshotSchema, takeSnapshot } from './snapshot.ts';
export { trialNamespaces, tryImage } from './try/try-image.ts';
