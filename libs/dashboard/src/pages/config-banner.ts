import { issueText } from '@ephemera/config';
import type { ConfigIssue } from '@ephemera/config';
import { html } from '@ephemera/http';
import type { Html } from '@ephemera/http';

/** Says that the configuration file has errors, so that an earlier version is in force. */
export function configBanner(issues: readonly ConfigIssue[]): Html | undefined {
  if (issues.length === 0) return undefined;
  return html`<div class="notice warning" role="alert">
    <p>
      The configuration file has errors. Its previous version stays in force. Correct the file; it
      is read again when it changes.
    </p>
    <ul>
      ${issues.map((issue) => html`<li><code>${issueText(issue)}</code></li>`)}
    </ul>
  </div>`;
}
