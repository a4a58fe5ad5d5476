export * from './create.ts';
export * from './exit-message.ts';
export * from './kill.ts';
export * from './ports.ts';
export * from './reconcile.ts';
export * from './renew.ts';
export * from './request-kill.ts';
export * from './spawn.ts';
