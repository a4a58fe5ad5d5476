export * from './audit.ts';
export * from './client-address.ts';
export * from './token-set.ts';
export * from './auth-throttle.ts';
export { closeBehindLongBody } from './long-body.ts';
export { mountRoutes, route, routesOf } from './routes.ts';
export type { BoundRoute, MountOptions } from './routes.ts';
