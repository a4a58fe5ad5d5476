import { visible } from './visible.ts';

/** The output of the reporter: `process.stdout`, or an object of the same form. */
export interface Screen {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Reports the progress of a step. The last note stays beside the finished step. */
export type OnProgress = (note: string) => void;

export interface Reporter {
  /** Shows a step while `work` runs, and its outcome. Errors are rethrown. */
  step<T>(title: string, work: (onProgress: OnProgress) => Promise<T>): Promise<T>;
  /** Shows a step that needed no work. */
  done(title: string, note: string): void;
  warn(text: string): void;
  say(text: string): void;
}

const noteIntervalMs = 4_000;

/**
 * On a terminal, each step is one line that is rewritten while it runs. A file or a CI log cannot
 * be rewritten, so it gets a note at most every few seconds. Titles, notes and texts may contain the
 * output of other programs.
 */
export function createReporter(screen: Screen, now: () => number = Date.now): Reporter {
  const live = screen.isTTY === true;
  const paint = (code: number, text: string) => (live ? `\x1b[${code}m${text}\x1b[0m` : text);
  const shown = (text: string) => (live ? visible(text) : text);
  let current: string | undefined;

  const erase = () => {
    if (live) screen.write('\r\x1b[2K');
  };
  const draw = () => {
    if (live && current !== undefined) screen.write(fit(current, (screen.columns ?? 0) || 80));
  };
  const line = (text: string) => {
    erase();
    screen.write(`${text}\n`);
    draw();
  };

  return {
    async step(title, work) {
      const begun = now();
      let reported = begun;
      let last = '';
      const show = (note: string) => {
        current = shown(`  … ${title}${note && `: ${note}`}`);
        erase();
        draw();
      };
      show('');
      const onProgress = (note: string) => {
        last = note;
        if (live) {
          show(note);
        } else if (now() - reported >= noteIntervalMs) {
          reported = now();
          line(`  … ${title}: ${note}`);
        }
      };
      try {
        const result = await work(onProgress);
        current = undefined;
        const seconds = (now() - begun) / 1000;
        const took = seconds >= 1 ? paint(2, ` (${seconds.toFixed(1)} s)`) : '';
        line(`  ${paint(32, '✓')} ${shown(`${title}${last && `: ${last}`}`)}${took}`);
        return result;
      } catch (error) {
        current = undefined;
        line(`  ${paint(31, '✗')} ${shown(title)}`);
        throw error;
      }
    },
    done: (title, note) => line(`  ${paint(32, '✓')} ${shown(`${title}: ${note}`)}`),
    warn: (text) => line(`  ${paint(33, '!')} ${shown(text)}`),
    say: (text) => line(shown(text)),
  };
}

/** A wrapped line cannot be erased, so the line is cut to the terminal's width. */
function fit(text: string, columns: number): string {
  return text.length < columns ? text : `${text.slice(0, Math.max(columns - 2, 0))}…`;
}
