import { setImmediate as turn } from 'node:timers/promises';

/** A concurrent activity, executed one port call at a time. */
export interface Actor {
  readonly name: string;
  /** The process that it runs in. All actors of a process crash together. */
  readonly process: string;
  readonly run: (through: Through) => Promise<unknown>;
}

/** Makes every call on a port wait for its turn. */
export type Through = <T extends object>(port: T) => T;

/** Selects the next actor. If the last actor is waiting, it is the first entry. */
export type Choose = (waiting: readonly string[]) => number;

interface Waiting {
  readonly actor: Actor;
  readonly call: string;
  readonly go: () => void;
}

/**
 * Runs actors in a chosen order. Between two port calls an actor has no visible effect, so the
 * orders of port calls cover all interleavings.
 */
export class Turns {
  readonly trace: string[] = [];
  #waiting: Waiting[] = [];
  #last: string | undefined;
  readonly #running = new Set<Actor>();

  start(actor: Actor): void {
    this.#running.add(actor);
    const run = async (): Promise<void> => {
      await this.#turn(actor, 'begins');
      await actor.run(this.#through(actor));
    };
    run().then(
      () => this.#running.delete(actor),
      (error: unknown) => {
        this.#running.delete(actor);
        this.trace.push(`${actor.name} failed: ${String(error)}`);
      },
    );
  }

  /** Crashes a process. Its actors never continue. Returns the interrupted actors. */
  end(process: string): Actor[] {
    const cut = [...this.#running].filter((actor) => actor.process === process);
    for (const actor of cut) this.#running.delete(actor);
    this.#waiting = this.#waiting.filter(({ actor }) => actor.process !== process);
    return cut;
  }

  /** Runs all actors, one call at a time, until all have finished. */
  async runToEnd(choose: Choose): Promise<void> {
    for (;;) {
      // Let every running actor continue until its next call.
      await turn();
      if (this.#waiting.length === 0) return;
      this.#waiting.sort((a, b) => this.#rank(a) - this.#rank(b));
      const at = choose(this.#waiting.map(({ actor }) => actor.name));
      const [next] = this.#waiting.splice(at, 1);
      if (!next) throw new Error(`there is no choice ${at}`);
      this.#last = next.actor.name;
      this.trace.push(`${next.actor.name}: ${next.call}`);
      next.go();
    }
  }

  #rank({ actor }: Waiting): number {
    return actor.name === this.#last ? 0 : 1;
  }

  #turn(actor: Actor, call: string): Promise<void> {
    return new Promise((go) => this.#waiting.push({ actor, call, go }));
  }

  #through(actor: Actor): Through {
    return <T extends object>(port: T): T =>
      new Proxy(port, {
        get: (target, name, receiver) => {
          const method: unknown = Reflect.get(target, name, receiver);
          if (typeof method !== 'function') return method;
          return async (...args: unknown[]) => {
            await this.#turn(actor, String(name));
            return (method as (...args: unknown[]) => unknown)(...args);
          };
        },
      });
  }
}
