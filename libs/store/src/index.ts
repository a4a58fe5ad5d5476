export * from './keys.ts';
export * from './redis-instances.ts';
export * from './redis-addresses.ts';
export * from './hosts.ts';
export * from './host-lock.ts';
export * from './connect-redis.ts';
export * from './route-cache.ts';
export type { CachedRoute } from './route-reader.ts';
export { connectTracking } from './route-tracking.ts';
