export * from './create-dashboard.ts';
