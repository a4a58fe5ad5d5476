/** The command `npm run soak`. */
import { prepareMachine, readCommandLine } from '@ephemera/test-support';
import { soak } from './soak.ts';

const { values } = readCommandLine({
  command: 'npm run soak --',
  summary: 'Mixed work with one fault per minute. Exits with 1 if an invariant is broken.',
  options: {
    minutes: { kind: 'number', help: 'How long it runs.', default: 60 },
    seed: { kind: 'number', help: 'Seed of the random choices.', default: 1 },
  },
});
prepareMachine();
process.exit((await soak(values.minutes, values.seed)) ? 0 : 1);
