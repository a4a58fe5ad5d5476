import type { Scenario } from '../bench.ts';
import { caddy } from '../contenders/caddy.ts';
import { configurableHttpProxy } from '../contenders/configurable-http-proxy.ts';
import { ephemera } from '../contenders/ephemera.ts';
import { haproxyTuned } from '../contenders/haproxy.ts';
import { nginxGroups } from '../contenders/nginx.ts';
import { httpProxy, koaRedis, undiciDispatch } from '../contenders/node-servers.ts';
import { throughput } from './throughput.ts';

export const single: Scenario = {
  name: 'single',
  title: 'One instance',
  run: (bench) =>
    throughput(
      bench,
      bench.instances.slice(0, 1),
      [
        ephemera,
        configurableHttpProxy,
        httpProxy,
        koaRedis,
        undiciDispatch,
        caddy,
        nginxGroups,
        haproxyTuned,
      ],
      {
        [configurableHttpProxy.name]: { atLeast: 2.3 },
        [httpProxy.name]: { atLeast: 1.5 },
        [caddy.name]: { atLeast: 1.7 },
        [nginxGroups.name]: { atLeast: 0.45 },
      },
    ),
};
