/** The page of one instance: refresh, countdown, log and charts. */
import './live.js';
import { drawCharts } from './charts.js';
import { followLog } from './log.js';

/** When each countdown was rendered, on the clock of this page. */
const rendered = new WeakMap();

setInterval(tick, 1_000);
followLog(document.querySelector('#log'));
const usage = document.querySelector('#usage');
if (usage) drawCharts(usage);

/** Counts on from the time left that the server rendered, so that a wrong local clock does not matter. */
function tick() {
  const timer = document.querySelector('[role=timer]');
  if (!timer) return;
  if (!rendered.has(timer)) rendered.set(timer, performance.now());
  const left = Number(timer.dataset.left) - (performance.now() - rendered.get(timer));
  timer.textContent = left > 0 ? durationOf(left) : `overdue by ${durationOf(-left)}`;
}

function durationOf(ms) {
  const seconds = Math.floor(ms / 1_000);
  const parts = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3_600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ];
  const text = parts.flatMap(([amount, unit]) => (amount > 0 ? `${amount}${unit}` : []));
  return text.length > 0 ? text.join('') : '0s';
}
