import { BlockList, isIPv4 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { BootError } from '@ephemera/domain';

/** Where the worker listens for proxies, and the address under which they reach it. */
export interface HostListen {
  /** An IPv4 address, or an IPv4 network in CIDR form from which the worker takes its own address. */
  readonly on: string;
  /** 0: a free port. */
  readonly port: number;
  /** `host:port`. Undefined: what it listens on. */
  readonly advertise: string | undefined;
}

/** Proxies of the same machine reach it. */
export const DEFAULT_HOST_LISTEN: HostListen = {
  on: '127.0.0.1',
  port: 0,
  advertise: undefined,
};

const ADDRESS = /^(\d{1,3}(?:\.\d{1,3}){3})(?:\/(\d{1,2}))?(?::(\d{1,5}))?$/;

/**
 * Parses `10.0.0.7`, `10.0.0.7:8084`, `10.0.0.0/24` or `10.0.0.0/24:8084`. Undefined if the text is
 * none of these.
 */
export function parseHostListen(text: string): Omit<HostListen, 'advertise'> | undefined {
  const [, address = '', bits, port = '0'] = ADDRESS.exec(text) ?? [];
  if (!isIPv4(address) || Number(bits ?? 32) > 32 || Number(port) > 65_535) return undefined;
  return { on: bits === undefined ? address : `${address}/${bits}`, port: Number(port) };
}

/**
 * The address to bind to.
 * @param own the addresses of this machine
 * @throws BootError if no address of this machine is in the network, or proxies could not use it
 */
export function bindAddress({ on, advertise }: HostListen, own = ownAddresses()): string {
  if (on === '0.0.0.0' && advertise === undefined) {
    throw new BootError(
      'EPHEMERA_HOST_LISTEN is 0.0.0.0, which proxies cannot connect to. Set EPHEMERA_HOST_ADVERTISE ' +
        'to the address and port under which they reach this worker, such as 192.0.2.7:8084.',
    );
  }
  const [base = '', bits] = on.split('/');
  if (bits === undefined) return base;
  const network = new BlockList();
  network.addSubnet(base, Number(bits), 'ipv4');
  const found = own.find((address) => network.check(address, 'ipv4'));
  if (found !== undefined) return found;
  throw new BootError(
    `EPHEMERA_HOST_LISTEN is ${on}, and this machine has no address in that network: ` +
      `it has ${own.join(', ')}. Set it to an address of this machine that the proxies reach.`,
  );
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses = []) => addresses)
    .filter(({ family }) => family === 'IPv4')
    .map(({ address }) => address);
}
