/**
 * Runs in the visitor's browser. Shows the progress of the start, and reloads the page when it is
 * over: the reload leads to the instance, or to a page with the reason of the failure.
 */
const SILENCE = 12_000;
const PAUSE = 2_000;

const source = new EventSource(document.querySelector('script[data-events]').dataset.events);
let silence;

function reload() {
  source.close();
  location.reload();
}

/** The server repeats the step every few seconds. Silence means that a proxy buffers the stream. */
function restartTimer() {
  clearTimeout(silence);
  silence = setTimeout(reload, SILENCE);
}

function show({ step, text, percent }) {
  document.documentElement.dataset.step = step;
  for (const element of document.querySelectorAll('[data-show=text]')) {
    // Setting the same text again would make screen readers repeat it.
    if (element.textContent !== text) element.textContent = text;
  }
  for (const element of document.querySelectorAll('[data-show=percent]')) element.value = percent;
}

source.addEventListener('step', ({ data }) => {
  restartTimer();
  show(JSON.parse(data));
});
source.addEventListener('over', reload);
source.addEventListener('error', () => {
  if (source.readyState === EventSource.CLOSED) setTimeout(reload, PAUSE);
});
restartTimer();
