export { EphemeraError } from './error.ts';
