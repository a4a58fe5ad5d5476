import type { Registry } from '@ephemera/process';

/** What is measured of one request for an instance, or of one WebSocket. */
export interface RequestMeasurement {
  /** The template of the instance; undefined if the request reached no route. */
  readonly template: string | undefined;
  readonly method: string;
  /** The status of the response, 101 of a WebSocket; undefined if the client left before it began. */
  readonly status: number | undefined;
  /** From the head of the request until the end of the response, milliseconds. */
  readonly duration: number;
  /**
   * From sending the request to the instance until the head of its final response, milliseconds;
   * undefined if there was none.
   */
  readonly upstreamDuration: number | undefined;
}

/** Other methods are counted as `other`, so that clients cannot create series. */
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'other'];
/** Classes of the status, by its first digit; the last one: no response. */
const CLASSES = ['other', '1xx', '2xx', '3xx', '4xx', '5xx', 'none'];
const NO_RESPONSE = CLASSES.length - 1;
/** Upper bounds of the histograms, milliseconds. */
const BOUNDS = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000];
/** Templates with series of their own. Requests for further ones are counted as `other`. */
const MAX_TEMPLATES = 200;

interface Sample {
  readonly metricName?: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

class Durations {
  /** By bucket, each without the ones below; the last one is above all bounds. */
  readonly #counts = new Float64Array(BOUNDS.length + 1);
  #sum = 0;

  add(ms: number): void {
    let bucket = 0;
    while (bucket < BOUNDS.length && ms > (BOUNDS[bucket] ?? Infinity)) bucket++;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += ms;
  }

  samples(name: string, template: string): Sample[] {
    let count = 0;
    const buckets = Array.from(this.#counts, (value, i) => {
      count += value;
      const bound = BOUNDS[i];
      const le = bound === undefined ? '+Inf' : bound / 1000;
      return { metricName: `${name}_bucket`, labels: { template, le }, value: count };
    });
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels: { template }, value: this.#sum / 1000 },
      { metricName: `${name}_count`, labels: { template }, value: count },
    ];
  }
}

class TemplateSeries {
  /** By method, then by class. */
  readonly counts = new Float64Array(METHODS.length * CLASSES.length);
  readonly total = new Durations();
  readonly upstream = new Durations();
}

/**
 * Counts the requests of a data plane. Every request is counted, so this adds to numbers in memory.
 * They become samples when the metrics are collected: finding a series by its labels, as Counter
 * and Histogram of prom-client do, costs more than the rest of the count.
 */
export class RequestMetrics {
  readonly #templates = new Map<string, TemplateSeries>();

  constructor(registry: Registry) {
    const add = (name: string, help: string, type: string, read: () => Sample[]) => {
      const metric = {
        name,
        help,
        type,
        aggregator: 'sum',
        labelNames: type === 'counter' ? ['template', 'method', 'code'] : ['template'],
        get: () => Promise.resolve({ name, help, type, aggregator: 'sum', values: read() }),
        reset: () => this.#templates.clear(),
      };
      // A registry needs only these of a metric, but its type names the classes of prom-client.
      registry.registerMetric(metric as unknown as Parameters<Registry['registerMetric']>[0]);
    };
    add(
      'ephemera_requests_total',
      'Requests for instances and closed WebSockets (1xx), by template (empty for an unknown id), method and class of the status',
      'counter',
      () => this.#all((series, template) => counts(series, template)),
    );
    const total = 'ephemera_request_duration_seconds';
    add(
      total,
      'Time from the head of a request until its response has ended, by template',
      'histogram',
      () => this.#all((series, template) => series.total.samples(total, template)),
    );
    const upstream = 'ephemera_upstream_response_seconds';
    add(
      upstream,
      'Time from sending a request to an instance until the head of its response, by template',
      'histogram',
      () => this.#all((series, template) => series.upstream.samples(upstream, template)),
    );
  }

  add({ template = '', method, status, duration, upstreamDuration }: RequestMeasurement): void {
    const series = this.#templates.get(template) ?? this.#create(template);
    const found = METHODS.indexOf(method);
    const row = found === -1 ? METHODS.length - 1 : found;
    const column = status === undefined ? NO_RESPONSE : Math.floor(status / 100) % NO_RESPONSE;
    const index = row * CLASSES.length + column;
    series.counts[index] = (series.counts[index] ?? 0) + 1;
    // A WebSocket lasts as long as its visitor stays.
    if (status === 101) return;
    series.total.add(duration);
    if (upstreamDuration !== undefined) series.upstream.add(upstreamDuration);
  }

  #create(template: string): TemplateSeries {
    const name = this.#templates.size < MAX_TEMPLATES ? template : 'other';
    const series = this.#templates.get(name) ?? new TemplateSeries();
    this.#templates.set(name, series);
    return series;
  }

  #all(read: (series: TemplateSeries, template: string) => Sample[]): Sample[] {
    return [...this.#templates].flatMap(([template, series]) => read(series, template));
  }
}

function counts({ counts: all }: TemplateSeries, template: string): Sample[] {
  const samples = METHODS.flatMap((method, row) =>
    CLASSES.map((code, column) => ({
      labels: { template, method, code },
      value: all[row * CLASSES.length + column] ?? 0,
    })),
  );
  return samples.filter(({ value }) => value > 0);
}
