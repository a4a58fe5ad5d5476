import { expect, test } from 'vitest';
import { loadTheme, parseTheme, THEMES } from './theme.ts';

const values = {
  template: '<demo>',
  id: 'a'.repeat(26),
  step: 'pulling',
  text: 'Pulling "the" <image>.',
  percent: 34,
  nonce: 'bm9uY2U=',
  events: '/demo/-/id/events',
};

test.each(THEMES)('%s shows all values and loads nothing external', (name) => {
  const page = loadTheme(name, undefined)(values);
  expect(page).toContain('&lt;demo&gt;');
  expect(page).toContain('Pulling &quot;the&quot; &lt;image&gt;.');
  expect(page).toContain('value="34"');
  expect(page).toContain('data-events="/demo/-/id/events"');
  expect(page).toMatch(/<noscript><meta http-equiv="refresh" content="\d+"><\/noscript>/);
  expect(page).not.toMatch(/\{\{|https?:|url\(|@import|src=/);
  expect(page.length).toBeLessThan(8_000);
});

test('a value is never interpreted as markup or as a placeholder', () => {
  const theme = parseTheme('<title>{{text}}</title>{{follow}}');
  expect(theme({ ...values, text: '</title><script>{{nonce}}' })).toMatch(
    /^<title>&lt;\/title&gt;&lt;script&gt;\{\{nonce\}\}<\/title><noscript>/,
  );
});

test('a theme without {{follow}} or with an unknown placeholder is refused', () => {
  expect(() => parseTheme('<p>{{txet}}</p>')).toThrow(
    /EPHEMERA_THEME_FILE: \{\{txet\}\} is unknown; use one of .*\n.*EPHEMERA_THEME_FILE: \{\{follow\}\} must/,
  );
  expect(() => loadTheme('calm', '/no/such/file.html')).toThrow(/cannot be read \(ENOENT\)/);
});

test('{{style}} and {{logo}} insert the style and the logo of the product', () => {
  const theme = parseTheme('{{follow}}{{style}}{{logo}}');
  expect(theme({ ...values, nonce: '"n' })).toMatch(
    /<link rel="icon" href="data:.*<style nonce="&quot;n">\n:root \{.*<\/style><svg /s,
  );
});
