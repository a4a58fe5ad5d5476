/**
 * A training site that gives each of its users an application of their own, for one lesson. The site
 * has its own login. Ephemera runs inside this process, with the worker for its Docker daemon.
 *
 *     node examples/embed/app.mjs     # http://localhost:3000
 *
 * PORT, REDIS_URL, DOCKER_HOST and NAMESPACE are read from the environment.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import Router from '@koa/router';
import { createEphemera } from '@ephemera/embed';
import Koa from 'koa';

const { PORT = '3000', REDIS_URL, NAMESPACE, DOCKER_HOST } = process.env;
/** A real site has hashes in a database. */
const PASSWORDS = new Map([
  ['ada', 'engine'],
  ['grace', 'compiler'],
]);

const ephemera = await createEphemera({
  publicUrl: `http://localhost:${PORT}`,
  // Each instance has an origin of its own: its scripts cannot use the session of this site.
  domain: `localhost:${PORT}`,
  worker: true,
  ...(REDIS_URL && { redis: REDIS_URL }),
  ...(NAMESPACE && { namespace: NAMESPACE }),
  ...(DOCKER_HOST && { docker: DOCKER_HOST }),
  templates: {
    lesson: {
      image: 'ephemera/demo',
      port: 8080,
      timeout: '20m',
      // Only users of this site may start one, and only the browser that started it may open it.
      create: 'token',
      access: 'owner',
      stopGrace: '1s',
      tmpfs: { '/tmp': '8m' },
    },
  },
  limits: { perOwner: 1 },
});

const app = new Koa();
app.keys = [randomBytes(32).toString('hex')];
const router = new Router();

const userOf = (ctx) => {
  const name = ctx.cookies.get('user', { signed: true });
  return PASSWORDS.has(name) ? name : undefined;
};

router.get('/', (ctx) => {
  const user = userOf(ctx);
  ctx.type = 'html';
  ctx.body = user
    ? `<title>Lessons</title><h1>Hello ${user}</h1>
       <form method="post" action="/demo/new"><button>Start the lesson</button></form>
       <form method="post" action="/logout"><button>Log out</button></form>`
    : `<title>Log in</title><h1>Log in</h1><form method="post" action="/login">
       <label>Name <input name="name"></label>
       <label>Password <input name="password" type="password"></label><button>Log in</button></form>`;
});

router.post('/login', async (ctx) => {
  const form = await readForm(ctx.req);
  const name = form.get('name') ?? '';
  const password = PASSWORDS.get(name);
  if (password === undefined || !isEqual(password, form.get('password') ?? '')) {
    ctx.throw(401, 'Wrong name or password');
  }
  ctx.cookies.set('user', name, { signed: true, httpOnly: true, sameSite: 'lax' });
  ctx.redirect('/');
});

router.post('/logout', (ctx) => {
  ctx.cookies.set('user', null);
  ctx.redirect('/');
});

// A visitor who is not logged in gets no instance.
router.use('/demo', async (ctx, next) => {
  if (userOf(ctx) === undefined) ctx.redirect('/');
  else await next();
});
router.use('/demo', ephemera.routes({ owner: userOf }));

app.use(router.routes());
const server = createServer(app.callback());
ephemera.attach(server);
server.listen(Number(PORT), '127.0.0.1', () => console.log(`http://localhost:${PORT}`));

let isStopping = false;
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, async () => {
    if (isStopping) process.exit(1);
    isStopping = true;
    server.close();
    await ephemera.close();
    server.closeAllConnections();
  });
}

/** Reads a small form. */
async function readForm(req) {
  let text = '';
  for await (const chunk of req.setEncoding('utf8')) {
    text += chunk;
    if (text.length > 1_000) break;
  }
  return new URLSearchParams(text);
}

/** Compares hashes, because `timingSafeEqual` throws for values of unequal length. */
function isEqual(a, b) {
  const hash = (text) => createHash('sha256').update(text).digest();
  return timingSafeEqual(hash(a), hash(b));
}
