/** Refreshes `#live` while the page is visible, every `data-refresh` seconds, or 5. */
const OLD = 'The dashboard does not answer. The page shows old data.';

const follow = document.querySelector('#follow');
const notice = document.querySelector('#notice');
follow.closest('label').hidden = false;

// Remove the notice from the URL, so that a reload or a bookmark does not repeat it.
history.replaceState(null, '', withoutNotice(location.href));

// Each refresh replaces the forms, so the listener is on the document.
document.addEventListener('submit', (event) => {
  const question = event.submitter?.dataset.confirm ?? event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});

setInterval(refresh, 1_000 * (document.querySelector('#live').dataset.refresh ?? 5));
document.addEventListener('visibilitychange', refresh);

async function refresh() {
  const reading = getSelection()?.type === 'Range';
  if (document.hidden || !follow.checked || reading) return;
  try {
    const answer = await fetch(location.href, { headers: { accept: 'text/html' } });
    // The session has ended. The login page redirects back here.
    if (answer.redirected) return location.reload();
    if (!answer.ok) throw new Error(answer.statusText);
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const focused = document.activeElement?.id;
    const scrolled = document.querySelector('.scroll')?.scrollLeft ?? 0;
    // What the reader has selected or opened stays so.
    const kept = [...document.querySelectorAll('#live :is(:checked, [open])[id]')];
    document.querySelector('#live').replaceWith(page.querySelector('#live'));
    for (const { id, checked } of kept) {
      const element = document.getElementById(id);
      if (checked) element?.setAttribute('checked', '');
      else element?.setAttribute('open', '');
    }
    document.querySelector('.scroll')?.scrollTo({ left: scrolled });
    if (focused) document.getElementById(focused)?.focus();
    if (notice.textContent === OLD) notice.textContent = '';
  } catch {
    notice.textContent = OLD;
  }
}

function withoutNotice(address) {
  const url = new URL(address);
  for (const name of ['notice', 'changedHost', 'unchanged', 'changed', 'skipped', 'failed'])
    url.searchParams.delete(name);
  url.searchParams.delete('ending');
  url.searchParams.delete('absent');
  return url.href;
}
