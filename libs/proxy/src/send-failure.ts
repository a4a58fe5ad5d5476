import type { IncomingMessage, ServerResponse } from 'node:http';
import { problemOf } from '@ephemera/contract';
import type { Failure } from '@ephemera/domain';
import { failurePage, type RestartAction } from './failure-page.ts';
import { NEVER_A_PAGE, pageHeaders } from './security-headers.ts';

/**
 * Answers with what went wrong: a page where the client is a browser that navigates, else
 * problem+json (RFC 9457). Nothing that the client sent stands in it unescaped. The page may offer
 * a way on.
 */
export function sendFailure(
  req: IncomingMessage,
  res: ServerResponse,
  failure: Failure,
  restartAction?: RestartAction,
): void {
  if (res.headersSent) {
    res.destroy();
    return;
  }
  const { problem, headers } = problemOf(failure);
  const html = prefersHtml(req.headers.accept);
  const body = html ? failurePage(problem, restartAction) : JSON.stringify(problem);
  res.writeHead(problem.status, {
    ...headers,
    'content-type': html ? 'text/html; charset=utf-8' : 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    vary: 'Accept',
    ...(html ? pageHeaders({ hasButton: restartAction !== undefined }) : NEVER_A_PAGE),
  });
  res.end(req.method === 'HEAD' ? undefined : body);
}

/** A browser names text/html in Accept; scripts and tools ask for JSON, or for anything. */
export function prefersHtml(accept: string | undefined): boolean {
  if (accept === undefined) return false;
  const html = accept.indexOf('text/html');
  if (html === -1) return false;
  const json = accept.search(/application\/(problem\+)?json/);
  return json === -1 || html < json;
}
