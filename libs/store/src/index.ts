export * from './keys.ts';
export * from './redis-instances.ts';
export * from './redis-addresses.ts';
export * from './hosts.ts';
export * from './host-lock.ts';
export * from './connect-redis.ts';
