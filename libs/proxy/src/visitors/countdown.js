/**
 * Shows the time left of an instance in a page of its application:
 *
 *     <script src="/demo/-/ID/countdown.js" defer></script>
 *
 * It writes into the element with `data-ephemera-countdown`, or adds one in a corner of the page. It
 * asks for the state when it loads, every minute, and when the page becomes visible.
 */
(() => {
  const script = document.currentScript;
  const source = new URL('.', script.src);
  let view;
  let readAt;

  function element() {
    const found = document.querySelector('[data-ephemera-countdown]');
    if (found) return found;
    const added = document.createElement('a');
    added.dataset.ephemeraCountdown = '';
    added.href = source.href;
    added.style.cssText =
      'position:fixed;right:1rem;bottom:1rem;z-index:2147483647;padding:.35rem .8rem;border-radius:1rem;' +
      'background:#22252b;color:#fff;font:14px/1.4 system-ui,sans-serif;text-decoration:none';
    document.body.append(added);
    return added;
  }

  async function read() {
    if (document.hidden) return;
    try {
      const response = await fetch(source, { headers: { accept: 'application/json' } });
      // A failure says nothing about the instance: what is known continues to count down.
      if (!response.ok) return;
      view = await response.json();
      readAt = performance.now();
    } catch {
      // The next attempt follows in a minute.
    }
    show();
  }

  function show() {
    if (view?.state === 'ended') {
      element().textContent = 'Ended';
      return;
    }
    if (view?.secondsLeft === undefined) return;
    const left = Math.max(0, Math.ceil(view.secondsLeft - (performance.now() - readAt) / 1000));
    const [h, m, s] = [Math.floor(left / 3600), Math.floor(left / 60) % 60, left % 60];
    const time = `${h ? `${h} h ` : ''}${h || m ? `${m} min ` : ''}${h ? '' : `${s} s`}`.trim();
    const shown = element();
    const [ends, ended] = view.pauses ? ['Pauses', 'Paused'] : ['Ends', 'Ended'];
    shown.textContent = left > 0 ? `${ends} in ${time}` : ended;
    shown.toggleAttribute('data-expiring', left <= view.noticeSeconds);
  }

  read();
  setInterval(show, 1000);
  setInterval(read, 60_000);
  document.addEventListener('visibilitychange', read);
})();
