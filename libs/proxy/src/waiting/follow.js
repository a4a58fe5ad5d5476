/**
 * Runs in the visitor's browser: shows each step of the start as it is told, and goes on to the
 * instance by itself, or to the page that tells why there is none.
 */
const SILENCE = 12_000;
const PAUSE = 2_000;

const source = new EventSource(document.querySelector('script[data-events]').dataset.events);
let silence;

function goOn() {
  source.close();
  location.reload();
}

/** What is told again every few seconds; silence means that something between us keeps it back. */
function hear() {
  clearTimeout(silence);
  silence = setTimeout(goOn, SILENCE);
}

function show({ step, text, percent }) {
  document.documentElement.dataset.step = step;
  for (const element of document.querySelectorAll('[data-show=text]')) {
    // Said again, the same words would be read out again.
    if (element.textContent !== text) element.textContent = text;
  }
  for (const element of document.querySelectorAll('[data-show=percent]')) element.value = percent;
}

source.addEventListener('step', ({ data }) => {
  hear();
  show(JSON.parse(data));
});
source.addEventListener('over', goOn);
source.addEventListener('error', () => {
  if (source.readyState === EventSource.CLOSED) setTimeout(goOn, PAUSE);
});
hear();
