export * from './create-proxy.ts';
export { THEMES } from './waiting/theme.ts';
export type { ThemeName } from './waiting/theme.ts';
