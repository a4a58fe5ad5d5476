export * from './chromium.ts';
export * from './manual-clock.ts';
export * from './memory-containers.ts';
export * from './memory-instances.ts';
export * from './memory-kills.ts';
export * from './sample.ts';
export * from './start-redis.ts';
export * from './wait-for.ts';
