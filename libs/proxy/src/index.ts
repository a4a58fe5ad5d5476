export * from './create-proxy.ts';
export { THEMES } from './waiting/theme.ts';
