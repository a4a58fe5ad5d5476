export { type Random, randomFrom } from '@ephemera/test-support';
