import { html } from '@ephemera/http';
import { layout } from './layout.ts';

/**
 * Renders the login page. @param next the dashboard page to open; `fault`: why the last attempt
 * failed
 */
export function loginPage({ next, fault }: { next: string; fault?: string }): string {
  return layout({
    title: 'Log in',
    body: html` <img src="/dashboard/assets/ring.svg" alt="" width="56" height="56" />
      <h1>Ephemera</h1>
      <p class="soft">Log in to see instances and queues.</p>
      <form method="post" action="/dashboard/login" class="login">
        <input type="hidden" name="next" value="${next}" />
        <label for="token">Token</label>
        <input
          id="token"
          name="token"
          type="password"
          required
          autofocus
          autocomplete="current-password"
          spellcheck="false"
          ${fault && html`aria-invalid="true" aria-describedby="fault"`}
        />
        ${fault && html`<p id="fault" class="fault" role="alert">${fault}</p>`}
        <button>Log in</button>
      </form>`,
  });
}
