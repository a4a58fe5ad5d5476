import { randomBytes } from 'node:crypto';
import { newId } from '@ephemera/domain';

/** An instance that the contenders route to. */
export interface Instance {
  readonly id: string;
  /** `001` and so on. An upstream includes its number in every response. */
  readonly number: string;
  /** 127.0.1.1 and so on. */
  readonly address: string;
  readonly port: number;
}

/** Creates up to 250 instances with ids as in production, each on a separate address. */
export function makeInstances(count: number, port: number): Instance[] {
  return Array.from({ length: count }, (_, index) => ({
    id: newId(randomBytes),
    number: String(index + 1).padStart(3, '0'),
    address: `127.0.1.${index + 1}`,
    port,
  }));
}

/** Path of an instance: the same for every contender. */
export function pathOf({ id, number }: Instance, name = ''): string {
  return `/demo/${id}/${name}?n=${number}`;
}
