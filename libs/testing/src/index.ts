export * from './start-redis.ts';
export * from './wait-for.ts';
