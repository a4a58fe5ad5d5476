export { TOKEN, deploy, terminate } from '@ephemera/test-support';
export type { App, Deployment, DeploymentOptions } from '@ephemera/test-support';
