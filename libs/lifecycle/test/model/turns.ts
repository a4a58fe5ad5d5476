import { setImmediate as turn } from 'node:timers/promises';

/** Something that happens at the same time as everything else, one call at a time. */
export interface Actor {
  readonly name: string;
  /** The process that it runs in: all that does dies together. */
  readonly process: string;
  readonly run: (through: Through) => Promise<unknown>;
}

/** Makes every call on a port wait for its turn. */
export type Through = <T extends object>(port: T) => T;

/** Who goes next among those who wait; the first is whoever went last, where he waits. */
export type Choose = (waiting: readonly string[]) => number;

interface Waiting {
  readonly actor: Actor;
  readonly call: string;
  readonly go: () => void;
}

/**
 * Lets actors go on in an order of somebody's choice. Between two calls to a port an actor does
 * nothing that another could see, so the orders of calls are all the orders that there are.
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

  /** The process dies: nothing that runs in it ever goes on. Gives what was cut short. */
  end(process: string): Actor[] {
    const cut = [...this.#running].filter((actor) => actor.process === process);
    for (const actor of cut) this.#running.delete(actor);
    this.#waiting = this.#waiting.filter(({ actor }) => actor.process !== process);
    return cut;
  }

  /** Lets everybody go on, one call at a time, until all have come to their end. */
  async untilAllAreDone(choose: Choose): Promise<void> {
    for (;;) {
      // Whatever is not waiting for its turn goes on until it does.
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
