export * from './create-request.ts';
export * from './event-resource.ts';
export * from './instance-resource.ts';
export * from './list-query.ts';
export * from './openapi.ts';
export * from './problem.ts';
export * from './renew-request.ts';
