/**
 * The instance as a separate process, so that its work does not delay the measurement. Prints its
 * port.
 */
import { newEchoInstance } from '../plain-instance.ts';

const { port } = await newEchoInstance();
process.stdout.write(`port ${port}\n`);
