export * from './deliveries.ts';
export * from './jobs.ts';
export * from './producers.ts';
export * from './queue-names.ts';
export * from './refills.ts';
