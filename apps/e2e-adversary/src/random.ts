export { type Random, randomFrom } from '@ephemera/testing';
