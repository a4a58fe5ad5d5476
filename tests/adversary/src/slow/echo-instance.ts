/** The instance as a process of its own: its work must not delay whoever measures. Prints its port. */
import { newEchoInstance } from '../plain-instance.ts';

const { port } = await newEchoInstance();
process.stdout.write(`port ${port}\n`);
