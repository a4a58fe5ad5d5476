import type { Choose } from './turns.ts';

/** Runs once in the order that `choose` gives; gives what was broken, and how it came to it. */
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
 * Runs in every order in which an actor that could go on is interrupted at most `interruptions`
 * times; whoever ends or waits for nobody may be followed by anybody. Few interruptions find
 * nearly every race there is (Musuvathi and Qadeer, PLDI 2007), and make the orders few.
 */
export async function explore(run: Run, interruptions: number): Promise<Explored> {
  const open: number[][] = [[]];
  let runs = 0;
  for (let plan = open.pop(); plan; plan = open.pop()) {
    const input = plan;
    const spent: number[] = [];
    const taken: number[] = [];
    let last: string | undefined;
    const broken = await run((waiting) => {
      const before = spent.at(-1) ?? 0;
      const mayGoOn = waiting[0] === last;
      const choice = input[taken.length] ?? 0;
      if (taken.length >= input.length) {
        const allowed = !mayGoOn || before < interruptions;
        for (let other = 1; allowed && other < waiting.length; other++) {
          open.push([...taken, other]);
        }
      }
      taken.push(choice);
      spent.push(before + (mayGoOn && choice > 0 ? 1 : 0));
      last = waiting[choice];
      return choice;
    });
    runs++;
    if (broken) return { runs, broken };
  }
  return { runs, broken: undefined };
}

/** Runs in so many orders drawn by a seed: the same seed draws the same orders. */
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
