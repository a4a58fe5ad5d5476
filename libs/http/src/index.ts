export { closeBehindLongBody } from './long-body.ts';
export { mountRoutes, route, routesOf } from './routes.ts';
export type { BoundRoute, MountOptions } from './routes.ts';
