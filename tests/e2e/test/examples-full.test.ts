import { dirname } from 'node:path';
import { chromium } from 'playwright-core';
import { expect } from 'vitest';
import { useExample } from './use-example.ts';

// The applications of examples/ with large images or long starts, each used in both address forms.

useExample('django', async ({ page, url }) => {
  await page.goto(url);
  await page.waitForURL(({ href }) => href.startsWith(`${url}admin/login/?next=`));
  await page.fill('#id_username', 'admin');
  await page.fill('#id_password', 'admin');
  await page.click('[type=submit]');
  await page.waitForURL(`${url}admin/`);
  // The style sheet arrived.
  expect(await page.evaluate<number>('document.styleSheets.length')).toBeGreaterThan(0);
  await page.click('text=Groups');
  await page.waitForURL(`${url}admin/auth/group/`);
  await page.click('text=Add group');
  const name = `editors ${Date.now()}`;
  await page.fill('#id_name', name);
  await page.click('[name=_save]');
  await page.waitForURL(`${url}admin/auth/group/`);
  expect(await page.textContent('.messagelist')).toContain(name);
});

useExample('jupyter', async ({ page, context, url }) => {
  await page.goto(url);
  await page.waitForURL(({ href }) => href.startsWith(`${url}tree`));
  const opened = context.waitForEvent('page');
  await page.click('#new-dropdown-button');
  await page.click('#kernel-python3 a');
  const notebook = await opened;
  await notebook.click('.CodeMirror');
  await notebook.keyboard.type('print(6 * 7)');
  await notebook.keyboard.press('Shift+Enter');
  const output = notebook.locator('.output_text').first();
  await output.waitFor({ timeout: 60_000 });
  expect((await output.textContent())?.trim()).toBe('42');
});

useExample('vite', async ({ page, url, exec }) => {
  const edit = (from: string, to: string) =>
    exec('sed', '-i', `s/Hello from ${from}/Hello from ${to}/`, '/app/src/App.jsx');
  await page.goto(url);
  await page.click('button');
  await page.waitForSelector('text=Count 1');
  await edit('Vite', 'the editor');
  await page.waitForSelector('text=Hello from the editor');
  // A module was replaced: a reload would have lost the state.
  expect(await page.textContent('button')).toBe('Count 1');
  await edit('the editor', 'Vite');
  await page.waitForSelector('text=Hello from Vite');
});

useExample('next', async ({ page, form, url, failed, exec }) => {
  const edit = (from: string, to: string) =>
    exec('sed', '-i', `s/Hello from ${from}/Hello from ${to}/`, '/app/app/page.jsx');
  await page.goto(url, { timeout: 90_000 });
  await page.waitForFunction(() => 'next' in globalThis);
  // The tools of Next.js have buttons too.
  const button = page.locator('button', { hasText: 'Count' });
  await button.click();
  await page.waitForSelector('text=Count 1');
  await edit('Next.js', 'the editor');
  await page.waitForSelector('text=Hello from the editor');
  expect(await button.textContent()).toBe('Count 1');
  await edit('the editor', 'Next.js');
  await page.waitForSelector('text=Hello from Next.js');
  await page.click('text=About');
  await page.waitForURL(`${url}about`, { timeout: 90_000 });
  await page.waitForSelector('h1:has-text("About")');
  // Its error overlay asks at the root of the host, whatever the base path is.
  const font = await page.evaluate(
    async () => (await fetch('/__nextjs_font/geist-latin.woff2')).status,
  );
  expect(font).toBe(form === 'path' ? 404 : 200);
  if (form === 'host') return;
  expect(failed.filter((line) => !line.includes('/__nextjs_font/'))).toEqual([]);
  failed.length = 0;
});

useExample('chromium', async ({ page, url }) => {
  await page.goto(`${url}json/version`);
  const said = JSON.parse((await page.textContent('pre')) ?? '') as {
    webSocketDebuggerUrl: string;
  };
  const { pathname, host: container } = new URL(said.webSocketDebuggerUrl);
  // The address is the container's, so a program has to put its path after that of the instance.
  expect(container).toMatch(/^[\d.]+:9222$/);
  // Node does not resolve the names of instances, so the host goes into the field.
  const { host, port, pathname: base } = new URL(url);
  const address = `ws://127.0.0.1:${port}${base}${pathname.slice(1)}`;
  const remote = await chromium.connectOverCDP(address, { headers: { host } });
  try {
    const tab = await (await remote.newContext()).newPage();
    await tab.setContent('<title>remote</title><h1>Hello from inside</h1>');
    expect(await tab.title()).toBe('remote');
    expect(await tab.textContent('h1')).toBe('Hello from inside');
    expect((await tab.screenshot()).length).toBeGreaterThan(1_000);
    await tab.close();
  } finally {
    await remote.close();
  }
});

useExample(
  'code-server',
  async ({ page, form, url, failed, exec }) => {
    const sockets: string[] = [];
    page.on('websocket', (socket) => sockets.push(socket.url()));
    // The terminal is otherwise a canvas, from which no text can be read.
    const settings = '{ "terminal.integrated.gpuAcceleration": "off" }';
    const file = '/home/coder/.local/share/code-server/User/settings.json';
    await exec(
      'sh',
      '-c',
      `echo 'Hello' > hello.txt; mkdir -p ${dirname(file)}; echo '${settings}' > ${file}`,
    );
    page.setDefaultTimeout(90_000);
    await page.goto(url);
    expect(page.url()).toBe(`${url}?folder=/home/coder/project`);
    await page.click('.explorer-folders-view >> text=hello.txt');
    await page.click('.monaco-editor .view-lines >> text=Hello');
    const text = `typed at ${Date.now()}`;
    await page.keyboard.press('Control+A');
    await page.keyboard.type(text);
    await page.keyboard.press('Control+S');
    await expect.poll(() => exec('cat', 'hello.txt'), { timeout: 60_000 }).toEqual([text]);
    await page.keyboard.press('Control+Backquote');
    await page.click('.terminal-wrapper .xterm-screen');
    await page.keyboard.type('echo $((6 * 7)) | tee echo.txt\n');
    await page.waitForSelector('.xterm-rows >> text="42"');
    expect(await exec('cat', 'echo.txt')).toEqual(['42']);
    // One for the files and the terminal, one for the extensions.
    expect(sockets.length).toBeGreaterThan(1);
    for (const address of sockets) expect(address).toContain(url.replace(/^http/, 'ws'));
    // code-server does not contain vsda. Service workers are refused in path form.
    const expected = form === 'path' ? /\/vsda|^403 .*\/serviceWorker\.js$/ : /\/vsda/;
    expect(failed.filter((line) => !expected.test(line))).toEqual([]);
    failed.length = 0;
  },
  // VS Code needs a secure context, which localhost is without TLS.
  'localhost',
);
