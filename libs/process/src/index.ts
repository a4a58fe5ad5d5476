export * from './distinct-errors.ts';
export * from './metrics.ts';
export * from './health-server.ts';
export * from './shutdown.ts';
export * from './listen.ts';
export * from './logger.ts';
export * from './run-app.ts';
export { startTracing } from './tracing/start-tracing.ts';
export * from './tracing/tracing.ts';
