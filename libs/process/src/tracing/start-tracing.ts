import type { Logger } from '../logger.ts';
import type { Shutdown } from '../shutdown.ts';
import type { TracedService, Tracing, TracingConfig } from './tracing.ts';

/** Time for the last delivery at shutdown, milliseconds. */
const CLOSE_TIMEOUT_MS = 3_000;

/**
 * Starts to record traces, if that is configured. OpenTelemetry is loaded only then. The spans of the
 * shutdown are delivered too, if this is the first that registers a release.
 */
export async function startTracing(
  config: TracingConfig | undefined,
  service: TracedService,
  {
    logger,
    shutdown,
  }: {
    readonly logger: Pick<Logger, 'warn' | 'info'>;
    readonly shutdown: Pick<Shutdown, 'onShutdown'>;
  },
): Promise<Tracing | undefined> {
  if (config === undefined) return undefined;
  const { createOtlpTracing } = await import('./otlp-tracing.ts');
  const tracing = createOtlpTracing(config, service, logger);
  shutdown.onShutdown('traces', () => tracing.close(CLOSE_TIMEOUT_MS));
  return tracing;
}
