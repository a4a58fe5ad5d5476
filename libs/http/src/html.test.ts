import { expect, test } from 'vitest';
import { html } from './html.ts';

test('values are escaped as content and as attribute', () => {
  const hostile = `"><script>alert('x')</script>&amp;`;
  expect(html`<a title="${hostile}">${hostile}</a>`.markup).not.toMatch(/<script|'x'|"">/);
  expect(html`${'<&>"\''}`.markup).toBe('&lt;&amp;&gt;&quot;&#39;');
});

test('markup is kept, lists are joined, and absent values render nothing', () => {
  const items = ['a', '<'].map((text) => html`<b>${text}</b>`);
  expect(html`${items}${undefined}${false}${0}`.markup).toBe('<b>a</b><b>&lt;</b>0');
});
