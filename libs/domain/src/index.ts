export * from './capacity.ts';
export * from './duration.ts';
export * from './event.ts';
export * from './exec.ts';
export * from './failure.ts';
export * from './hint.ts';
export * from './id.ts';
export * from './image.ts';
export * from './instance.ts';
export { landingPathIssue, landingUrl, openIssue, portAddresses } from './landing.ts';
export * from './lease.ts';
export * from './name.ts';
export * from './principal.ts';
export * from './policy.ts';
export * from './reach.ts';
export * from './reconcile.ts';
export {
  isSentinelUrl,
  parseSentinelUrl,
  redactRedisUrl,
  redisUrlIssue,
  sentinelNodeOptions,
  sentinelOptions,
  tlsOptions,
} from './redis-address.ts';
export type { RedisAddress, SentinelNode } from './redis-address.ts';
export { matchesLoaderVariablesOnly, requestedEnv } from './requested-env.ts';
export { MAX_IMAGE_LENGTH, isImageReference, requestedImage } from './requested-image.ts';
export * from './size.ts';
export * from './state.ts';
export * from './template.ts';
export * from './warning.ts';
