import type { Scenario } from '../bench.ts';
import { configurableHttpProxy } from '../contenders/configurable-http-proxy.ts';
import { ephemera } from '../contenders/ephemera.ts';
import { haproxyDefault, haproxyTuned } from '../contenders/haproxy.ts';
import { nginxGroups, nginxMap } from '../contenders/nginx.ts';
import { httpProxy, koaRedis, undiciDispatch } from '../contenders/node-servers.ts';
import { throughput } from './throughput.ts';

/** The main workload: 200 instances with routes that may change at any time. */
export const fleet: Scenario = {
  name: 'fleet',
  title: '200 instances, requests spread over all of them',
  run: (bench) =>
    throughput(
      bench,
      bench.instances,
      [
        ephemera,
        configurableHttpProxy,
        httpProxy,
        koaRedis,
        undiciDispatch,
        nginxMap,
        nginxGroups,
        haproxyTuned,
        haproxyDefault,
      ],
      {
        [configurableHttpProxy.name]: { atLeast: 2.5 },
        [httpProxy.name]: { atLeast: 1.6 },
        [nginxMap.name]: { atLeast: 1.4 },
        [nginxGroups.name]: { atLeast: 0.45 },
        [haproxyTuned.name]: { atLeast: 0.4 },
      },
    ),
};
