import { HOST_ID, STATES, isDead } from '@ephemera/domain';
import type { Instance, State } from '@ephemera/domain';
import { html } from '@ephemera/http';
import type { Html } from '@ephemera/http';
import type { InstanceStore } from '@ephemera/store';
import { z } from 'zod';
import { queryString } from '../pages/query-string.ts';

const LIVE = STATES.filter((state) => !isDead(state));

/** An empty field of the form means: any. */
export const optionalField = <T extends z.ZodType<string>>(schema: T) =>
  z.preprocess((text) => (text === '' ? undefined : text), schema.optional());

/** The query of the list. `meta` is `key=value`. */
export const filterFields = {
  id: optionalField(z.string().regex(/^[a-z0-9]{1,64}$/, 'is not the beginning of an id')),
  state: optionalField(z.enum(LIVE as [State, ...State[]])),
  template: optionalField(z.string().max(100)),
  host: optionalField(z.string().regex(HOST_ID, 'is not a host name')),
  meta: optionalField(
    z
      .string()
      .max(500)
      .regex(/^[^=]+=/, 'is not of the form key=value'),
  ),
  order: optionalField(z.enum(['oldest', 'newest', 'deadline'])),
} as const;

export type Filter = {
  readonly [Name in keyof typeof filterFields]?: z.output<(typeof filterFields)[Name]>;
};

/** The filter of a query. A search by metadata has no other order than the oldest first. */
export function filterOf({ id, state, template, host, meta, order }: Filter): Filter {
  return { id, state, template, host, meta, order: meta === undefined ? order : undefined };
}

/** Whether Redis or the dashboard reads more instances for the filter than the page lists. */
export function isCostly({ id, state, template, host, meta, order }: Filter): boolean {
  const filtered = [id, state, template, host, meta].some((value) => value !== undefined);
  return filtered || order === 'deadline';
}

/** One page of the list. */
export interface Listed {
  readonly items: readonly Instance[];
  /** The query of the next page; undefined after the last. */
  readonly next: Readonly<Record<string, string>> | undefined;
  /** Number of matches; undefined: not counted. */
  readonly total?: number | undefined;
  readonly isPartial: boolean;
}

/**
 * Reads one page. Id, state, host, template and order are searched in the lists of the hosts. Metadata is
 * in the instances only, so that search inspects a limited number of them per page.
 */
export async function readListed(
  instances: Pick<InstanceStore, 'find' | 'list'>,
  { id, state, template, host, meta, order }: Filter,
  {
    cursor,
    offset,
    limit,
  }: { readonly cursor: number; readonly offset: number; readonly limit: number },
): Promise<Listed> {
  const isSearch = [id, state, template, host, order].some((value) => value !== undefined);
  if (isSearch && meta === undefined) {
    const search = { id, state, template, host, order: order ?? 'oldest', offset, limit };
    const { items, total, isPartial } = await instances.find(search);
    const end = offset + limit;
    return { items, total, isPartial, next: end < total ? { offset: String(end) } : undefined };
  }
  const metadata = meta === undefined ? undefined : Object.fromEntries([entryOf(meta)]);
  const { items, nextCursor } = await instances.list({
    ...{ cursor, limit, metadata },
    state: state && [state],
    template: template === undefined ? undefined : [template],
    host,
  });
  const matching = id === undefined ? items : items.filter((item) => item.id.startsWith(id));
  const next = nextCursor === undefined ? undefined : { cursor: String(nextCursor) };
  return { items: matching, next, isPartial: false };
}

function entryOf(text: string): [string, string] {
  const at = text.indexOf('=');
  return [text.slice(0, at), text.slice(at + 1)];
}

/** The query of a link to a filter with further parameters: with `?`, or empty. */
export function queryOf(filter: Filter, more: Readonly<Record<string, string>> = {}): string {
  const text = queryString({ ...filter, ...more });
  return text === '' ? '' : `?${text}`;
}

/** The form of the filter. It works without scripts. */
export function filterForm(filter: Filter, hosts: readonly string[]): Html {
  const text = (name: 'id' | 'template' | 'host' | 'meta', label: string, hint: string) =>
    html`<label
      >${label}
      <input
        type="text"
        name="${name}"
        value="${filter[name] ?? ''}"
        placeholder="${hint}"
        autocomplete="off"
        spellcheck="false"
        ${name === 'host' && html`list="hosts"`}
    /></label>`;
  const orders = { oldest: 'oldest first', newest: 'newest first', deadline: 'deadline first' };
  return html`<form class="toolbar filter" role="search" aria-label="Filter instances">
    ${text('id', 'Id', 'beginning')}
    <label
      >State
      <select name="state">
        <option value="">any</option>
        ${LIVE.map((state) => option(state, state, filter.state))}
      </select></label
    >
    ${text('template', 'Template', 'name')} ${text('host', 'Host', 'name')}
    ${text('meta', 'Metadata', 'key=value')}
    <label
      >Order
      <select name="order">
        ${Object.entries(orders).map(([order, label]) => option(order, label, filter.order))}
      </select></label
    >
    <button class="quiet">Apply</button>
    ${Object.values(filter).some(Boolean) && html`<a href="/dashboard/instances">Clear</a>`}
    <datalist id="hosts">${hosts.map((host) => html`<option value="${host}"></option>`)}</datalist>
  </form>`;
}

function option(value: string, label: string, chosen: string | undefined): Html {
  return html`<option value="${value}" ${value === chosen && html`selected`}>${label}</option>`;
}
