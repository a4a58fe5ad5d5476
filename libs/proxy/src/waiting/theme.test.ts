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

test.each(THEMES)('%s has all that there is to know, and nothing from elsewhere', (name) => {
  const page = loadTheme(name, undefined)(values);
  expect(page).toContain('&lt;demo&gt;');
  expect(page).toContain('Pulling &quot;the&quot; &lt;image&gt;.');
  expect(page).toContain('value="34"');
  expect(page).toContain('data-events="/demo/-/id/events"');
  expect(page).toMatch(/<noscript><meta http-equiv="refresh" content="\d+"><\/noscript>/);
  expect(page).not.toMatch(/\{\{|https?:|url\(|@import|src=/);
  expect(page.length).toBeLessThan(8_000);
});

test('what a value says is never markup, nor a placeholder', () => {
  const theme = parseTheme('<title>{{text}}</title>{{follow}}');
  expect(theme({ ...values, text: '</title><script>{{nonce}}' })).toMatch(
    /^<title>&lt;\/title&gt;&lt;script&gt;\{\{nonce\}\}<\/title><noscript>/,
  );
});

test('a theme that would not go on by itself, or has a placeholder that is none, is refused', () => {
  expect(() => parseTheme('<p>{{txet}}</p>')).toThrow(
    /EPHEMERA_THEME_FILE: \{\{txet\}\} is none of .*\n.*EPHEMERA_THEME_FILE: \{\{follow\}\} must/,
  );
  expect(() => loadTheme('calm', '/no/such/file.html')).toThrow(/cannot be read \(ENOENT\)/);
});
