import type { Problem } from '@ephemera/contract';
import type { Failure } from '@ephemera/domain';

/** What a page says first, for people, where the title of the problem is a term of HTTP. */
const HEADINGS: Readonly<Partial<Record<Failure['kind'], string | ((name: string) => string)>>> = {
  gone: (name) => `${name} has ended`,
  start_failed: (name) => `${name} could not be started`,
  starting: (name) => `${name} is still starting`,
  paused: (name) => `${name} is paused`,
  upstream_unreachable: (name) => `${name} does not respond`,
  upstream_timeout: (name) => `${name} takes too long to respond`,
  access_denied: 'This page is not open to you',
  not_found: 'There is nothing here',
  missing_base_path: 'There is nothing here',
  full: 'Everything is in use right now',
  rate_limited: 'Please wait a moment',
  store_unavailable: 'The service is not available right now',
};

/**
 * The heading of the page of a failure.
 * @param name the title of the template; undefined where it is unknown, or not for this client
 */
export function headingOf({ type, title }: Pick<Problem, 'type' | 'title'>, name?: string): string {
  const kind = type.slice(type.lastIndexOf(':') + 1) as Failure['kind'];
  const heading = HEADINGS[kind] ?? title;
  return typeof heading === 'string' ? heading : heading(name ?? 'This instance');
}

/** The detail of a failure below its heading, which may say the first sentence already. */
export function detailBelowHeading(detail: string): string {
  return detail.replace(/^This instance has ended\. (?=\S)/, '');
}
