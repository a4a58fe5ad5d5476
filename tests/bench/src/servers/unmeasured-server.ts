import { readConfig } from '../../../../apps/proxy/src/config.ts';
import { createProxy, proxyDependencies } from '../../../../libs/proxy/src/index.ts';
import { runApp } from '../../../../libs/process/src/index.ts';

// The process of apps/proxy without the metrics of requests.
await runApp(() =>
  createProxy(readConfig(), { ...proxyDependencies, observeRequests: () => undefined }),
);
