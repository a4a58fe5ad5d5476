export { TOKEN, deploy, terminate } from '@ephemera/testing';
export type { App, Deployment, DeploymentOptions } from '@ephemera/testing';
