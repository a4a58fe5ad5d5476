import type { CreateRequest } from '@ephemera/contract';
import type { SigningKeys } from '@ephemera/config';
import { ApiError, allows, principalKey } from '@ephemera/domain';
import type { Failure } from '@ephemera/domain';
import type { TokenSet } from '@ephemera/http';
import type { Logger } from '@ephemera/process';
import type { Names, Rates } from '@ephemera/store';
import { startInstance } from './start-instance.ts';
import type { Starter } from './start-instance.ts';

/** What a visit starts: the request of the last creation for the name, with the name of its template. */
export type RestartRequest = CreateRequest & { readonly template: string };

/** How long a refusal answers further visits, so that they cost no calls of Redis, ms. */
const REFUSAL_MS = 1_000;
/** Longest stored request, bytes as JSON. Redis holds one for each name. */
const MAX_RESTART_BYTES = 16_384;

interface NameOwner {
  readonly name: string;
  /** The key of the token that owns the name. */
  readonly owner: string;
}

/**
 * Serializes what a visit to a name starts. With signing keys it is signed: a client that can write to
 * Redis could otherwise choose the image and the environment.
 * @throws ApiError invalid if it is too long
 */
export function writeRestart(
  keys: Pick<SigningKeys, 'hasKeys' | 'sign'>,
  of: NameOwner,
  request: RestartRequest,
): string {
  const text = JSON.stringify(request);
  if (Buffer.byteLength(text) > MAX_RESTART_BYTES) {
    const detail = `the request may have at most ${MAX_RESTART_BYTES} bytes where the template has onVisit: start`;
    throw new ApiError({ kind: 'invalid', faults: [{ path: 'env', detail }] });
  }
  const signature = keys.hasKeys ? keys.sign('restart', signedText(of, text)) : '';
  return `${signature}.${text}`;
}

/** Reads what `writeRestart` has written. Undefined if none of the signing keys has signed it. */
export function readRestart(
  keys: Pick<SigningKeys, 'hasKeys' | 'hasSigned'>,
  of: NameOwner,
  restart: string,
): RestartRequest | undefined {
  const at = restart.indexOf('.');
  const text = restart.slice(at + 1);
  if (keys.hasKeys && !keys.hasSigned('restart', signedText(of, text), restart.slice(0, at))) {
    return undefined;
  }
  return JSON.parse(text) as RestartRequest;
}

const signedText = ({ name, owner }: NameOwner, text: string): string =>
  JSON.stringify([name, owner, text]);

export interface VisitPorts {
  readonly starter: Starter;
  readonly names: Pick<Names, 'readRestart'>;
  readonly rates: Rates;
  readonly tokens: Pick<TokenSet, 'named'>;
  readonly keys: SigningKeys;
  readonly logger: Logger;
}

export type VisitOutcome =
  /** The name has changed, by this start or by another one: it must be read again. */
  | { readonly kind: 'changed' }
  /** Nothing was started. `failure`: why, if the end of the instance is not the answer. */
  | { readonly kind: 'refused'; readonly failure?: Failure };

/**
 * Starts the instance of a name again, whose last one has ended.
 * @param generation of the name, as the visitor has seen it
 */
export type StartOnVisit = (name: string, generation: number) => Promise<VisitOutcome>;

/**
 * Starts names for their visitors, as their last `PUT` asked, for the token that owns them: it must
 * still exist, and its quota and rate apply. Visits have a count of their own for the rate. However many visitors arrive at once, and at however many
 * replicas, one instance is started: the start requires the generation that they have seen.
 */
export function createVisitStarts(ports: VisitPorts): StartOnVisit {
  const starting = new Map<string, Promise<VisitOutcome>>();
  return (name, generation) => {
    const key = `${name} ${generation}`;
    const known = starting.get(key);
    if (known) return known;
    const started = startForVisit(ports, name, generation)
      .catch((error: unknown) => refusalOf(ports, name, error))
      .then((outcome) => {
        const keepMs = outcome.kind === 'refused' ? REFUSAL_MS : 0;
        setTimeout(() => starting.delete(key), keepMs).unref();
        return outcome;
      });
    starting.set(key, started);
    return started;
  };
}

async function startForVisit(
  { starter, names, rates, tokens, keys, logger }: VisitPorts,
  name: string,
  generation: number,
): Promise<VisitOutcome> {
  const known = await names.readRestart(name);
  if (known?.generation !== generation) return { kind: 'changed' };
  const { owner, restart } = known;
  const refuse = (reason: string): VisitOutcome => {
    logger.warn({ name, owner, reason }, 'visit starts nothing');
    return { kind: 'refused' };
  };
  const request = readRestart(keys, { name, owner }, restart);
  if (!request) return refuse('no signing key has signed what the name starts');
  const { templates, quotas } = starter.templates;
  const template = templates.get(request.template);
  if (template?.onVisit !== 'start') return refuse('the template has no onVisit: start any more');
  const principal = tokens.named(owner.slice(principalKey({ name: '' }).length));
  if (!principal || !allows(principal, 'create')) return refuse('its token may not start any more');
  // Counted apart from the requests of the token, which visitors could otherwise block.
  const { allowed, resetsIn } = await rates.take(`visits:${owner}`, quotas.ratePerToken);
  if (!allowed) throw new ApiError({ kind: 'rate_limited', by: 'token', resetsIn });
  const { instance } = await startInstance(starter, request, {
    quotaOwner: { name: owner, limit: 'token', max: quotas.perToken },
    name: {
      ...{ name, match: String(generation), owner, newOwner: owner },
      ...{ drain: 0, ttl: 0, isVisit: true },
    },
  });
  const fields = { id: instance.id, generation: instance.generation, template: template.name };
  logger.info({ name, ...fields, by: owner, how: 'visit' }, 'instance created for a name');
  return { kind: 'changed' };
}

/** What a visitor learns of a start that failed. */
function refusalOf(
  { logger }: Pick<VisitPorts, 'logger'>,
  name: string,
  error: unknown,
): VisitOutcome {
  if (!(error instanceof ApiError)) {
    logger.error({ err: error, name }, 'start by a visit failed');
    return { kind: 'refused', failure: { kind: 'store_unavailable' } };
  }
  const { failure } = error;
  switch (failure.kind) {
    case 'precondition_failed':
      return { kind: 'changed' };
    case 'full':
    case 'rate_limited':
    case 'gone':
    case 'store_unavailable':
      return { kind: 'refused', failure };
    default:
      // The owner of the name can repair it, the visitor cannot.
      logger.warn({ err: error, name }, 'visit starts nothing');
      return { kind: 'refused' };
  }
}
