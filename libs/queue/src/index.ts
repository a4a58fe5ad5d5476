export * from './producers.ts';
export * from './jobs.ts';
export * from './refills.ts';
