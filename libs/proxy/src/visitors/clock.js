/**
 * Runs in the visitor's browser, in pages of the product. Counts down the time left of each instance,
 * and says once when an instance is about to end or to pause. Asks before a form with `data-confirm` is sent.
 */
const opened = performance.now();

function words(seconds) {
  const [days, hours] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24];
  const [minutes, rest] = [Math.floor(seconds / 60) % 60, seconds % 60];
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${rest} s` : `${rest} s`;
}

function tick() {
  const passed = (performance.now() - opened) / 1000;
  for (const element of document.querySelectorAll('[data-left]')) {
    const { left, notice, title, pauses } = element.dataset;
    const seconds = Math.max(0, Math.ceil(left - passed));
    element.textContent = words(seconds);
    if (seconds > notice) continue;
    element.classList.add('expiring');
    const status = document.getElementById('expiring');
    const [soon, over] = pauses === 'true' ? ['pause', 'is paused'] : ['end', 'has ended'];
    const text = seconds > 0 ? `${title} is about to ${soon}.` : `${title} ${over}.`;
    // A second element must not change the text back and forth: the first one wins.
    if (status && (status.dataset.of ?? title) === title && status.textContent !== text) {
      status.dataset.of = title;
      status.textContent = text;
    }
  }
}

addEventListener('submit', (event) => {
  const question = event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});
tick();
setInterval(tick, 1000);
