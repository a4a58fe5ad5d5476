/** The soak as a program: `node apps/e2e-faults/src/soak/main.ts [--minutes N] [--seed S]`. */
import { parseArgs } from 'node:util';
import { soak } from './soak.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
  },
});
const held = await soak(Number(values.minutes), Number(values.seed));
process.exit(held ? 0 : 1);
