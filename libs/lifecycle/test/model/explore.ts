import type { Choose } from './turns.ts';

/** Runs a scenario once in the order of `choose`. Returns the violated rule and the trace. */
export type Run = (choose: Choose) => Promise<Broken | undefined>;

export interface Broken {
  readonly rule: string;
  readonly trace: readonly string[];
}

export interface Explored {
  readonly runs: number;
  readonly broken: Broken | undefined;
}

/**
 * Runs every order with at most `interruptions` preemptions of an actor that could continue. After
 * an actor that ends or waits, any actor may follow. A few preemptions find nearly all races
 * (Musuvathi and Qadeer, PLDI 2007), and limit the number of orders.
 */
export async function explore(run: Run, interruptions: number): Promise<Explored> {
  const open: number[][] = [[]];
  let runs = 0;
  for (let plan = open.pop(); plan; plan = open.pop()) {
    const input = plan;
    const interrupted: number[] = [];
    const taken: number[] = [];
    let last: string | undefined;
    const broken = await run((waiting) => {
      const before = interrupted.at(-1) ?? 0;
      const canContinue = waiting[0] === last;
      const choice = input[taken.length] ?? 0;
      if (taken.length >= input.length) {
        const allowed = !canContinue || before < interruptions;
        for (let other = 1; allowed && other < waiting.length; other++) {
          open.push([...taken, other]);
        }
      }
      taken.push(choice);
      interrupted.push(before + (canContinue && choice > 0 ? 1 : 0));
      last = waiting[choice];
      return choice;
    });
    runs++;
    if (broken) return { runs, broken };
  }
  return { runs, broken: undefined };
}

/** Runs `runs` random orders. The same seed gives the same orders. */
export async function exploreRandomly(run: Run, runs: number, seed: number): Promise<Explored> {
  let state = seed;
  const draw = (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (let i = 1; i <= runs; i++) {
    const broken = await run((waiting) => draw(waiting.length));
    if (broken) return { runs: i, broken };
  }
  return { runs, broken: undefined };
}
