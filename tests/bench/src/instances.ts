import { randomBytes } from 'node:crypto';
import { newId } from '@ephemera/domain';

/** One of the instances that the contenders route to. */
export interface Instance {
  readonly id: string;
  /** `001` and on: an upstream names itself by it in every answer. */
  readonly number: string;
  /** 127.0.1.1 and on. */
  readonly address: string;
  readonly port: number;
}

/** Makes instances with ids as the product makes them, each on an address of its own, up to 250. */
export function makeInstances(count: number, port: number): Instance[] {
  return Array.from({ length: count }, (_, index) => ({
    id: newId(randomBytes),
    number: String(index + 1).padStart(3, '0'),
    address: `127.0.1.${index + 1}`,
    port,
  }));
}

/** Where an instance is asked: the same bytes for every contender. */
export function pathOf({ id, number }: Instance, name = ''): string {
  return `/demo/${id}/${name}?n=${number}`;
}
