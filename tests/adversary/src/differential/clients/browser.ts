/** Chromium. Arguments: base addresses. Prints `BASE NAME: ok`, or what happened instead. */
import { CHROMIUM } from '@ephemera/test-support';
import { chromium, type Page } from 'playwright-core';

const browser = await chromium.launch({
  ...CHROMIUM,
  args: [
    ...CHROMIUM.args,
    '--host-resolver-rules=MAP *.apps.test 127.0.0.1, MAP *.demos.example.org 127.0.0.1',
  ],
});

/** What a page does by itself. Each entry is a name and an expression for its outcome. */
const IN_PAGE: Readonly<Record<string, string>> = {
  fetch: `fetch('hi').then((r) => r.json()).then(({ bytes }) => (bytes === 0 ? 'ok' : bytes))`,
  'fetch of a query with a backslash': `fetch('hi?q=C:\\\\dir|{}').then((r) => (r.ok ? 'ok' : r.status))`,
  'fetch POST': `fetch('hi', { method: 'POST', body: 'a'.repeat(1 << 20) })
    .then((r) => r.json()).then(({ bytes }) => (bytes === 1 << 20 ? 'ok' : bytes))`,
  'an upload of a file': `(() => { const form = new FormData(); form.append('f', new Blob(['abc']), 'é "1".txt');
    return fetch('hi', { method: 'POST', body: form }).then((r) => (r.ok ? 'ok' : r.status)); })()`,
  'XMLHttpRequest PUT': `new Promise((done) => { const x = new XMLHttpRequest(); x.open('PUT', 'hi');
    x.onload = () => done(x.status === 200 ? 'ok' : x.status); x.onerror = () => done('error'); x.send('abc'); })`,
  EventSource: `new Promise((done) => { const e = new EventSource('events'); let n = 0;
    e.onmessage = () => { if (++n === 3) { e.close(); done('ok'); } }; e.onerror = () => done('error after ' + n); })`,
  WebSocket: `new Promise((done) => { const s = new WebSocket(new URL('ws?q=a\\\\b', location.href.replace(/^http/, 'ws')));
    s.onopen = () => s.send('hello'); s.onmessage = ({ data }) => { s.close(); done(data === 'hello' ? 'ok' : data); };
    s.onerror = () => done('error'); })`,
  'a form': `(() => { const f = document.createElement('iframe'); f.name = 'f'; document.body.append(f);
    const form = document.createElement('form'); form.method = 'post'; form.action = 'hi'; form.target = 'f';
    form.append(Object.assign(document.createElement('input'), { name: 'a', value: 'b' })); document.body.append(form);
    return new Promise((done) => { f.onload = () => done(f.contentDocument.body.textContent.includes('POST') ? 'ok' : f.contentDocument.body.textContent); form.submit(); }); })()`,
};

async function run(page: Page, base: string): Promise<void> {
  const say = (name: string, outcome: unknown) =>
    process.stdout.write(`${base} ${name}: ${String(outcome).replaceAll('\n', ' ')}\n`);
  const response = await page.goto(`${base}/page`);
  say('a page', response?.status() === 200 ? 'ok' : response?.status());
  for (const [name, expression] of Object.entries(IN_PAGE)) {
    say(name, await page.evaluate(expression).catch((error: unknown) => String(error)));
  }
}

try {
  for (const base of process.argv.slice(2)) {
    // The certificates of the tests are their own.
    const page = await browser.newPage({ ignoreHTTPSErrors: true });
    page.setDefaultTimeout(20_000);
    await run(page, base);
    await page.close();
  }
} finally {
  await browser.close();
}
