/** Follows the log of an instance. */
import { poll } from './poll.js';

/** How many lines the page keeps. */
const MAX_LINES = 5_000;

export function followLog(view) {
  const [follow, search, notice] = ['#log-follow', '#log-search', '#log-notice'].map((id) =>
    document.querySelector(id),
  );
  let position;
  let problem = '';
  let isEnded = false;
  view.textContent = '';

  poll({
    everyMs: 1_000,
    next() {
      if (position !== undefined && !follow.checked) return undefined;
      const query = position ? `?${new URLSearchParams(position)}` : '';
      return `${view.dataset.url}${query}`;
    },
    onData({ lines, more, next, isOver }) {
      if (next) position = { after: next.time, count: next.count };
      append(lines);
      isEnded = isOver && !more;
      show();
      return isEnded ? 'end' : more;
    },
    onProblem(text) {
      problem = text;
      show();
    },
  });
  search.addEventListener('input', () => {
    for (const line of view.children) filter(line);
    show();
  });

  function append(lines) {
    const atEnd = view.scrollHeight - view.scrollTop - view.clientHeight < 40;
    for (const { time, stream, text } of lines) {
      const last = view.lastElementChild;
      // A long line arrives in several parts.
      if (last?.dataset.open === stream) {
        last.textContent += withoutEnd(text);
        last.dataset.open = text.endsWith('\n') ? '' : stream;
        filter(last);
        continue;
      }
      const line = document.createElement('div');
      line.className = stream;
      line.title = `${time} ${stream}`;
      line.textContent = withoutEnd(text);
      line.dataset.open = text.endsWith('\n') ? '' : stream;
      filter(line);
      view.append(line);
    }
    while (view.childElementCount > MAX_LINES) view.firstElementChild.remove();
    if (follow.checked && atEnd) view.scrollTop = view.scrollHeight;
  }

  function filter(line) {
    line.hidden = !line.textContent.toLowerCase().includes(search.value.toLowerCase());
  }

  function show() {
    const all = view.childElementCount;
    const found = [...view.children].filter((line) => !line.hidden).length;
    const count = search.value === '' ? '' : `${found} of ${all} lines.`;
    const empty = all === 0 && position === undefined ? 'No lines yet.' : '';
    const text = [problem, count, empty, isEnded ? 'The instance has ended.' : ''];
    const said = text.filter(Boolean).join(' ');
    // A live region repeats every change.
    if (notice.textContent !== said) notice.textContent = said;
  }
}

function withoutEnd(text) {
  return text.replace(/\r?\n$/, '');
}
