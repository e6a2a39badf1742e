/**
 * Addresses of this machine for hosts that keep their port while they are down. On 127.0.0.1, which all share, the system
 * gives such a port away meanwhile: to a host of another test, or to the near end of any connection. Linux has the whole
 * network 127.0.0.0/8; elsewhere there is one address.
 */
let given = 0;

/** One that no other process of the tests has, nor this one before. */
export function ownLoopback(): string {
  if (process.platform !== 'linux') return '127.0.0.1';
  return `127.${(process.pid >> 8) & 0xff}.${process.pid & 0xff}.${2 + (given++ % 253)}`;
}
