export { print, table } from '@ephemera/testing';
