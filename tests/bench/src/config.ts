/** Variables of the environment that the benchmarked programs need. */
export const surroundings = {
  PATH: process.env['PATH'],
  DOCKER_HOST: process.env['DOCKER_HOST'],
};

/** For installers, which need variables such as HTTP_PROXY, npm settings and HOME. */
export const wholeEnvironment = process.env;
