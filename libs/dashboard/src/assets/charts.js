/** Draws the usage of an instance, read while the page is open. */
import uPlot from './uplot.js';
import { poll } from './poll.js';

const EVERY_MS = 2_000;
/** How many readings a chart keeps: ten minutes. */
const MAX_READINGS = 300;
const HEIGHT = 160;

const CHARTS = [
  { name: 'cpu', series: ['CPU'], format: (value) => `${value.toFixed(1)} %` },
  { name: 'memory', series: ['used'], format: bytes },
  { name: 'network', series: ['received', 'sent'], format: (value) => `${bytes(value)}/s` },
];

export function drawCharts(section) {
  const notice = section.querySelector('#usage-notice');
  const told = notice.textContent;
  const charts = CHARTS.map((chart) =>
    createChart(section.querySelector(`#chart-${chart.name}`), chart),
  );
  let last;
  poll({
    everyMs: EVERY_MS,
    next: () => section.dataset.url,
    onProblem: (text) => {
      notice.textContent = text === '' ? told : text;
    },
    onData(usage) {
      const at = Date.parse(usage.readAt) / 1_000;
      const seconds = last ? at - last.at : 0;
      // The first reading has no rate, and neither has one after a restart of the container.
      const rate = (now, before) =>
        seconds > 0 && now >= before ? (now - before) / seconds : undefined;
      const { received, sent } = usage.network;
      const [cpu, memory, network] = charts;
      cpu.add(at, [last && scale(rate(usage.cpuSeconds, last.cpuSeconds), 100)]);
      memory.add(at, [usage.memory.used], `of ${bytes(usage.memory.limit)}`);
      network.add(at, [last && rate(received, last.received), last && rate(sent, last.sent)]);
      last = { at, cpuSeconds: usage.cpuSeconds, received, sent };
      return false;
    },
  });
}

const scale = (value, factor) => (value === undefined ? undefined : value * factor);

function createChart(figure, { series, format }) {
  const plot = figure.querySelector('.plot');
  const reading = figure.querySelector('.reading');
  const data = [[], ...series.map(() => [])];
  let drawn = draw();

  function draw() {
    const style = getComputedStyle(figure);
    const colour = (name) => style.getPropertyValue(`--${name}`);
    const grid = { stroke: colour('line'), width: 1 };
    const axis = { stroke: colour('soft'), grid, ticks: grid, font: '12px system-ui' };
    const options = {
      width: plot.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: { y: { range: (_, __, max) => [0, Math.max(max ?? 0, 1) * 1.1] } },
      axes: [
        { ...axis, space: 80 },
        { ...axis, size: 84, values: (_, values) => values.map(format) },
      ],
      series: [
        {},
        ...series.map((label, i) => ({
          label,
          stroke: colour(i === 0 ? 'glow' : 'good'),
          width: 2,
        })),
      ],
    };
    return new uPlot(options, data, plot);
  }

  const redraw = () => {
    drawn.destroy();
    drawn = draw();
  };
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
  new ResizeObserver(() => {
    if (plot.clientWidth !== drawn.width)
      drawn.setSize({ width: plot.clientWidth, height: HEIGHT });
  }).observe(plot);

  return {
    add(at, values, remark = '') {
      const row = [at, ...values.map((value) => value ?? null)];
      for (const [i, value] of row.entries()) data[i].push(value);
      if (data[0].length > MAX_READINGS) for (const column of data) column.shift();
      drawn.setData(data);
      const shown = values.map((value, i) =>
        value === undefined ? '' : `${series.length > 1 ? `${series[i]} ` : ''}${format(value)}`,
      );
      const text = [...shown.filter(Boolean), remark].filter(Boolean).join(' ');
      reading.textContent = text === '' ? 'not read yet' : text;
    },
  };
}

function bytes(value) {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
