export * from './audit.ts';
export * from './client-address.ts';
export * from './health-routes.ts';
export * from './token-set.ts';
export * from './auth-throttle.ts';
