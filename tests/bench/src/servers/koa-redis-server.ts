/** A simple design: Koa, a Redis GET for every request, and http-proxy with keep-alive. */
import { Agent } from 'node:http';
import httpProxy from 'http-proxy';
import { Redis } from 'ioredis';
import Koa from 'koa';
import { idOf, readArguments, type Target } from './targets.ts';

const { port, targets, redisUrl } = readArguments();
const redis = new Redis(redisUrl);
await redis.mset([...targets].flatMap(([id, target]) => [`naive:${id}`, JSON.stringify(target)]));
const proxy = httpProxy.createProxyServer({ agent: new Agent({ keepAlive: true }), xfwd: true });
proxy.on('error', (_error, _req, res) => res.destroy());

const app = new Koa();
app.use(async (ctx) => {
  const found = await redis.get(`naive:${idOf(ctx.url)}`);
  if (found === null) return;
  ctx.respond = false;
  proxy.web(ctx.req, ctx.res, { target: JSON.parse(found) as Target });
});
app.listen(port, '127.0.0.1');
