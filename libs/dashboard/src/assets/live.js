/** Replaces what lives on the page by a newer one every few seconds, while somebody looks. */
const EVERY = 5_000;
const OLD = 'No answer; what you see is old.';

const follow = document.querySelector('#follow');
const notice = document.querySelector('#notice');
follow.closest('label').hidden = false;

// A reload or a bookmark should not tell of an act again.
history.replaceState(null, '', withoutNotice(location.href));

// Forms come and go with every refresh, so the page listens for all of them.
document.addEventListener('submit', (event) => {
  const question = event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});

setInterval(refresh, EVERY);
document.addEventListener('visibilitychange', refresh);

async function refresh() {
  const reading = getSelection()?.type === 'Range';
  if (document.hidden || !follow.checked || reading) return;
  try {
    const answer = await fetch(location.href, { headers: { accept: 'text/html' } });
    // The session has ended: the login page leads back here.
    if (answer.redirected) return location.reload();
    if (!answer.ok) throw new Error(answer.statusText);
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const focused = document.activeElement?.id;
    const scrolled = document.querySelector('.scroll')?.scrollLeft ?? 0;
    document.querySelector('#live').replaceWith(page.querySelector('#live'));
    document.querySelector('.scroll')?.scrollTo({ left: scrolled });
    if (focused) document.getElementById(focused)?.focus();
    if (notice.textContent === OLD) notice.textContent = '';
  } catch {
    notice.textContent = OLD;
  }
}

function withoutNotice(address) {
  const url = new URL(address);
  url.searchParams.delete('ending');
  url.searchParams.delete('absent');
  return url.href;
}
