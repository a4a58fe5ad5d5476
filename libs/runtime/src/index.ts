export { StartError } from '@ephemera/domain';
export * from './environment.ts';
export * from './health-server.ts';
export * from './lifetime.ts';
export * from './listen.ts';
export * from './logger.ts';
export * from './metrics.ts';
export * from './run-app.ts';
export * from './template-config.ts';
