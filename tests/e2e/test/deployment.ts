export { TOKEN, deploy } from '@ephemera/test-support';
export type { Deployment } from '@ephemera/test-support';
