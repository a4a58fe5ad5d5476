/** The boards for Grafana. They query the metrics of docs/reference/metrics.md. */

/** A query, and the name of its series: a text in which `{{label}}` is the value of a label. */
type Query = readonly [expr: string, legend: string];

interface Panel {
  readonly title: string;
  /** What the panel shows that its title does not say, and what to do. */
  readonly description: string;
  /** A unit of Grafana: `reqps`, `s`, `bytes`, `percentunit`, `short`, … */
  readonly unit: string;
  readonly queries: readonly Query[];
  /** `stat`: the last value, large; `bars`: the last value of each series. Default: lines. */
  readonly kind?: 'lines' | 'stat' | 'bars';
  /** Stacks the lines, for parts of a whole. */
  readonly stacked?: boolean;
  /** Values from which a stat is yellow and red; falling: red is the lower one. */
  readonly limits?: readonly [yellow: number, red: number];
  /** Texts for values of a stat. */
  readonly texts?: Readonly<Record<string, string>>;
}

interface Row {
  readonly title: string;
  /** Shown side by side. */
  readonly panels: readonly Panel[];
}

interface Board {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly rows: readonly Row[];
}

/** Grafana replaces it by at least four scrape intervals. */
const RATE = '$__rate_interval';
const PROXY = 'job="ephemera-proxy"';

const quantile = (q: number, metric: string, by = ''): string =>
  `histogram_quantile(${q}, sum by (le${by}) (rate(${metric}_bucket[${RATE}])))`;

const failingRequests: Panel = {
  title: 'Failing requests',
  description: 'Requests that got no complete response from their instance, by reason.',
  unit: 'reqps',
  stacked: true,
  queries: [
    [`sum by (reason) (rate(ephemera_upstream_failures_total[${RATE}])) > 0`, '{{reason}}'],
  ],
};

const OVERVIEW: Board = {
  uid: 'ephemera-overview',
  title: 'Ephemera: overview',
  description: 'Whether everything works, and how much it is used.',
  rows: [
    {
      title: 'Now',
      panels: [
        {
          title: 'Alerts',
          description: 'Alerts that fire. Each has a runbook in docs/guides/operating.md.',
          unit: 'short',
          kind: 'stat',
          limits: [1, 1],
          queries: [
            ['count(ALERTS{alertname=~"Ephemera.+", alertstate="firing"}) or vector(0)', 'firing'],
          ],
        },
        {
          title: 'Proxies up',
          description: 'Proxies that Prometheus reaches.',
          unit: 'short',
          kind: 'stat',
          queries: [[`sum(up{${PROXY}})`, 'up']],
        },
        {
          title: 'Hosts up',
          description: 'Hosts with a heartbeat in the last 15 s.',
          unit: 'short',
          kind: 'stat',
          queries: [['sum(max by (host) (ephemera_host_up))', 'up']],
        },
        {
          title: 'Redis',
          description: 'Whether every proxy reads its routes from Redis.',
          unit: 'short',
          kind: 'stat',
          texts: { 0: 'down', 1: 'up' },
          queries: [['min(ephemera_redis_up)', 'Redis']],
        },
        {
          title: 'Configuration',
          description: 'Whether every process uses the configuration file as it is now.',
          unit: 'short',
          kind: 'stat',
          texts: { 0: 'refused', 1: 'current' },
          queries: [['min(ephemera_config_last_reload_successful)', 'file']],
        },
      ],
    },
    {
      title: 'Visitors',
      panels: [
        {
          title: 'Requests',
          description: 'Requests for instances, by class of the status. 1xx are closed WebSockets.',
          unit: 'reqps',
          stacked: true,
          queries: [[`sum by (code) (rate(ephemera_requests_total[${RATE}]))`, '{{code}}']],
        },
        failingRequests,
        {
          title: 'Time of a request',
          description: 'Until the end of the response, over all templates.',
          unit: 's',
          queries: [0.5, 0.95, 0.99].map((q) => [
            quantile(q, 'ephemera_request_duration_seconds'),
            `p${q * 100}`,
          ]),
        },
      ],
    },
    {
      title: 'Instances',
      panels: [
        {
          title: 'Instances by template',
          description: 'Live instances, with warm ones.',
          unit: 'short',
          stacked: true,
          queries: [['max by (template) (ephemera_template_instances)', '{{template}}']],
        },
        {
          title: 'Starts',
          description: 'By whether each was created, queued, or claimed from a pool.',
          unit: 'reqps',
          stacked: true,
          queries: [[`sum by (kind) (rate(ephemera_starts_total[${RATE}]))`, '{{kind}}']],
        },
        {
          title: 'Memory of Redis',
          description: 'Of maxmemory, or of its machine without one. A full Redis starts nothing.',
          unit: 'percentunit',
          queries: [
            ['max(ephemera_redis_memory_used_bytes / ephemera_redis_memory_limit_bytes)', 'used'],
          ],
        },
      ],
    },
  ],
};

const PROXIES: Board = {
  uid: 'ephemera-proxies',
  title: 'Ephemera: proxies',
  description: 'The data plane, by template and by replica.',
  rows: [
    {
      title: 'Requests',
      panels: [
        {
          title: 'Requests by template',
          description: 'An empty name: requests with an unknown id.',
          unit: 'reqps',
          stacked: true,
          queries: [[`sum by (template) (rate(ephemera_requests_total[${RATE}]))`, '{{template}}']],
        },
        {
          title: 'Share of errors by template',
          description: 'Share of responses with a 5xx status. Instances send such responses too.',
          unit: 'percentunit',
          queries: [
            [
              `sum by (template) (rate(ephemera_requests_total{code="5xx"}[${RATE}])) / sum by (template) (rate(ephemera_requests_total[${RATE}]))`,
              '{{template}}',
            ],
          ],
        },
        failingRequests,
      ],
    },
    {
      title: 'Times',
      panels: [
        {
          title: 'Time of a request, p95 by template',
          description: 'From the head of a request until its response has ended.',
          unit: 's',
          queries: [
            [quantile(0.95, 'ephemera_request_duration_seconds', ', template'), '{{template}}'],
          ],
        },
        {
          title: 'Time of the instance, p95 by template',
          description:
            'From sending a request until the head of the response. The rest is the proxy and the network.',
          unit: 's',
          queries: [
            [quantile(0.95, 'ephemera_upstream_response_seconds', ', template'), '{{template}}'],
          ],
        },
        {
          title: 'Event loop lag, p99',
          description: 'Above 0.25 s the CPU is overloaded. Idle processes show about 0.01 s.',
          unit: 's',
          queries: [[`nodejs_eventloop_lag_p99_seconds{${PROXY}}`, '{{instance}}']],
        },
      ],
    },
    {
      title: 'Connections',
      panels: [
        {
          title: 'Connections',
          description: 'Sums over all replicas.',
          unit: 'short',
          queries: [
            ['sum(ephemera_client_connections_open)', 'clients'],
            ['sum(ephemera_tunnels_open)', 'WebSockets'],
            ['sum(ephemera_upstream_connections_open)', 'to instances'],
            ['sum(ephemera_requests_in_flight)', 'requests in progress'],
          ],
        },
        {
          title: 'Refused connections and repeated requests',
          description:
            'Connections over a limit by reason, and requests sent again because an instance had closed an idle connection.',
          unit: 'reqps',
          queries: [
            [
              `sum by (reason) (rate(ephemera_connections_refused_total[${RATE}]))`,
              'refused: {{reason}}',
            ],
            [`sum(rate(ephemera_upstream_retries_total[${RATE}]))`, 'repeated'],
          ],
        },
        {
          title: 'Routes found in memory',
          description:
            'Share of look-ups that needed no Redis. A low share means more routes than EPHEMERA_ROUTES.',
          unit: 'percentunit',
          queries: [
            [
              `sum(rate(ephemera_route_cache_hits_total[${RATE}])) / (sum(rate(ephemera_route_cache_hits_total[${RATE}])) + sum(rate(ephemera_route_cache_misses_total[${RATE}])))`,
              'share',
            ],
          ],
        },
      ],
    },
    {
      title: 'Processes',
      panels: [
        {
          title: 'CPU',
          description: '1 is one whole CPU, the most that a replica can use.',
          unit: 'short',
          queries: [[`rate(process_cpu_seconds_total{${PROXY}}[${RATE}])`, '{{instance}}']],
        },
        {
          title: 'Memory',
          description: 'Resident memory.',
          unit: 'bytes',
          queries: [[`process_resident_memory_bytes{${PROXY}}`, '{{instance}}']],
        },
        {
          title: 'Route changes',
          description: 'Changes that Redis has pushed to the replicas.',
          unit: 'ops',
          queries: [
            [
              `sum by (instance) (rate(ephemera_route_cache_invalidations_total[${RATE}]))`,
              '{{instance}}',
            ],
          ],
        },
      ],
    },
  ],
};

const HOSTS: Board = {
  uid: 'ephemera-hosts',
  title: 'Ephemera: hosts and pools',
  description: 'Where instances run, how they start and end, and what waits.',
  rows: [
    {
      title: 'Hosts',
      panels: [
        {
          title: 'Hosts',
          description: 'Whether a worker and the Docker daemon of the host answer.',
          unit: 'short',
          kind: 'stat',
          texts: { 0: 'lost', 1: 'up' },
          queries: [['max by (host) (ephemera_host_up)', '{{host}}']],
        },
        {
          title: 'Reserved',
          description: 'Share of each resource of a host that instances have reserved.',
          unit: 'percentunit',
          kind: 'bars',
          limits: [0.8, 0.95],
          queries: [
            [
              'max by (host, resource) (ephemera_host_used) / max by (host, resource) (ephemera_host_capacity)',
              '{{host}}: {{resource}}',
            ],
          ],
        },
        {
          title: 'Instances by host',
          description: 'Live instances.',
          unit: 'short',
          stacked: true,
          queries: [['max by (host) (ephemera_host_instances)', '{{host}}']],
        },
      ],
    },
    {
      title: 'Pools and queues',
      panels: [
        {
          title: 'Pools',
          description: 'Warm instances of each template, and how many there should be.',
          unit: 'short',
          queries: [
            ['max by (template) (ephemera_pool_warm_instances)', '{{template}}: warm'],
            ['max by (template) (ephemera_pool_wanted_instances)', '{{template}}: wanted'],
          ],
        },
        {
          title: 'Start queue',
          description: 'Visitors who wait for capacity.',
          unit: 'short',
          stacked: true,
          queries: [['max by (template) (ephemera_template_queued_instances)', '{{template}}']],
        },
        {
          title: 'Oldest waiting job',
          description: 'Jobs that are due and that no worker has taken.',
          unit: 's',
          queries: [['max by (queue) (ephemera_queue_oldest_job_age_seconds)', '{{queue}}']],
        },
      ],
    },
    {
      title: 'Starts and ends',
      panels: [
        {
          title: 'Time until ready',
          description: 'From the creation of an instance.',
          unit: 's',
          queries: [0.5, 0.95].map((q) => [quantile(q, 'ephemera_spawn_seconds'), `p${q * 100}`]),
        },
        {
          title: 'Completed starts',
          description: 'By outcome. superseded: the instance was ended during its start.',
          unit: 'ops',
          stacked: true,
          queries: [[`sum by (outcome) (rate(ephemera_spawns_total[${RATE}]))`, '{{outcome}}']],
        },
        {
          title: 'Ended instances',
          description: 'By reason.',
          unit: 'ops',
          stacked: true,
          queries: [[`sum by (reason) (rate(ephemera_kills_total[${RATE}]))`, '{{reason}}']],
        },
      ],
    },
    {
      title: 'Guarantees',
      panels: [
        {
          title: 'Lateness of kills',
          description: 'From the deadline until the route is withdrawn. The highest bound is 30 s.',
          unit: 's',
          queries: [0.5, 0.99].map((q) => [
            quantile(q, 'ephemera_kill_lateness_seconds'),
            `p${q * 100}`,
          ]),
        },
        {
          title: 'Repairs',
          description: 'Differences between Docker and Redis that workers have repaired.',
          unit: 'ops',
          stacked: true,
          queries: [[`sum by (kind) (rate(ephemera_repairs_total[${RATE}]))`, '{{kind}}']],
        },
        {
          title: 'Errors of Docker',
          description: 'Calls that failed because of the daemon or the connection, by reason.',
          unit: 'ops',
          stacked: true,
          queries: [
            [`sum by (reason) (rate(ephemera_docker_errors_total[${RATE}]))`, '{{reason}}'],
          ],
        },
        {
          title: 'Webhooks',
          description: 'Deliveries that wait, and those that the full queue did not take.',
          unit: 'short',
          queries: [
            ['max(ephemera_webhook_deliveries_waiting)', 'waiting'],
            [
              `sum by (webhook) (increase(ephemera_webhook_deliveries_dropped_total[${RATE}]))`,
              'lost: {{webhook}}',
            ],
          ],
        },
      ],
    },
  ],
};

/** The source that deploy/grafana/provisioning defines. */
const datasource = { type: 'prometheus', uid: 'ephemera' };
const WIDTH = 24;
const HEIGHTS = { row: 1, stats: 4, charts: 8 };

function panelJson(panel: Panel, place: object, id: number): object {
  const { title, description, unit, queries, kind = 'lines', stacked = false } = panel;
  const { limits, texts } = panel;
  const steps =
    limits === undefined
      ? [
          { color: texts ? 'red' : 'blue', value: null },
          ...(texts ? [{ color: 'green', value: 1 }] : []),
        ]
      : [
          { color: 'green', value: null },
          { color: 'yellow', value: limits[0] },
          { color: 'red', value: limits[1] },
        ];
  const options = Object.entries(texts ?? {}).map(([value, text]) => [value, { text }] as const);
  return {
    ...{ id, title, description, datasource, gridPos: place },
    type: { lines: 'timeseries', stat: 'stat', bars: 'bargauge' }[kind],
    fieldConfig: {
      defaults: {
        ...{ unit, min: 0 },
        ...(kind === 'bars' && { max: 1 }),
        ...(kind === 'lines'
          ? {
              custom: {
                ...{ fillOpacity: stacked ? 30 : 0, showPoints: 'never' },
                stacking: { mode: stacked ? 'normal' : 'none' },
              },
            }
          : { thresholds: { mode: 'absolute', steps } }),
        ...(texts && { mappings: [{ type: 'value', options: Object.fromEntries(options) }] }),
      },
      overrides: [],
    },
    options:
      kind === 'lines'
        ? { legend: { displayMode: 'list' }, tooltip: { mode: 'multi', sort: 'desc' } }
        : {
            reduceOptions: { calcs: ['lastNotNull'] },
            ...(kind === 'bars' && { orientation: 'horizontal' }),
          },
    targets: queries.map(([expr, legendFormat], i) => ({
      ...{ refId: String.fromCharCode(65 + i), datasource, expr, legendFormat },
      ...(kind !== 'lines' && { instant: true }),
    })),
  };
}

/** Places the rows below each other, and the panels of a row side by side. */
function panelsOf(rows: readonly Row[]): object[] {
  const placed: object[] = [];
  let y = 0;
  for (const { title, panels } of rows) {
    const gridPos = { x: 0, y, w: WIDTH, h: HEIGHTS.row };
    placed.push({
      id: placed.length + 1,
      type: 'row',
      title,
      collapsed: false,
      gridPos,
      panels: [],
    });
    y += HEIGHTS.row;
    const h = panels.every(({ kind }) => kind === 'stat') ? HEIGHTS.stats : HEIGHTS.charts;
    const w = Math.floor(WIDTH / panels.length);
    for (const [i, panel] of panels.entries()) {
      placed.push(panelJson(panel, { x: i * w, y, w, h }, placed.length + 1));
    }
    y += h;
  }
  return placed;
}

/** @returns the text of a dashboard file of Grafana */
function boardText({ uid, title, description, rows }: Board): string {
  return JSON.stringify({
    ...{ uid, title, description, tags: ['ephemera'] },
    ...{ schemaVersion: 38, editable: false, refresh: '30s', timezone: 'browser' },
    time: { from: 'now-3h', to: 'now' },
    links: [{ type: 'dashboards', tags: ['ephemera'], title: 'Ephemera', keepTime: true }],
    panels: panelsOf(rows),
  });
}

/** The files of the boards, by their path. */
export const boardFiles: readonly (readonly [file: string, page: () => string])[] = [
  OVERVIEW,
  PROXIES,
  HOSTS,
].map((board) => [
  `deploy/grafana/dashboards/${board.uid.replace('ephemera-', '')}.json`,
  () => boardText(board),
]);
