export { print, table } from '@ephemera/test-support';
