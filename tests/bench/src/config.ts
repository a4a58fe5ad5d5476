/** What the apps that a bench starts need of its own surroundings. */
export const surroundings = {
  PATH: process.env['PATH'],
  DOCKER_HOST: process.env['DOCKER_HOST'],
};

/** What installers need: proxies, registries, the home folder. */
export const wholeEnvironment = process.env;
