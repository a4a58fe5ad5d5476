/** A proxy without some fences: `node proxy.ts FENCE,…`, configured like the product's own. */
import { runApp } from '@ephemera/process';
import { createProxy, proxyDependencies } from '@ephemera/proxy';
import { readConfig } from '../../../../apps/proxy/src/config.ts';
import { proxyFences, withoutProxyFences } from '../churn/fences.ts';

const removed = (process.argv[2] ?? '').split(',');
const dependencies = withoutProxyFences(
  proxyDependencies,
  proxyFences.filter((fence) => removed.includes(fence)),
);
await runApp(() => createProxy(readConfig(), dependencies));
