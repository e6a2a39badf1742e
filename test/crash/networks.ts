/**
 * Hosts with a network each: a name space for every host, and a cable from each to a switch (a bridge in a name space of
 * its own). A cable can be pulled or be a bad one, and two hosts can be cut off from each other only. Needs Linux, root,
 * `ip` and `nsenter`. All is taken away with the name spaces.
 */
import { spawnSync } from 'node:child_process';

/** From the range that is set aside for tests of networks (RFC 2544). */
const NETWORK = '198.18.77';
const CABLE = 'cable';

export class Networks implements Disposable {
  readonly #hub: string = `sameroot-${process.pid}-hub`;
  readonly #hosts: readonly string[];

  constructor(hosts: number) {
    this.#hosts = Array.from({ length: hosts }, (_, host) => `sameroot-${process.pid}-${host}`);
    try {
      ip('netns', 'add', this.#hub);
      ip('-n', this.#hub, 'link', 'add', 'switch', 'type', 'bridge');
      ip('-n', this.#hub, 'link', 'set', 'switch', 'up');
      for (const [host, name] of this.#hosts.entries()) this.#plugIn(host, name);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Why there can be none here, if so. */
  static obstacle(): string | undefined {
    if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'does not run: it needs Linux and root';
    try {
      using _networks = new Networks(1);
      return undefined;
    } catch (error) {
      return `does not run: ${(error as Error).message}`;
    }
  }

  /**
   * What runs a program on the host. `ip netns exec` would also give it a mount name space of its own, and what another
   * test has mounted would live on in there after its `umount`.
   */
  within(host: number): string[] {
    return ['nsenter', `--net=/run/netns/${this.#hosts[host]!}`];
  }

  address(host: number): string {
    return `${NETWORK}.${host + 1}`;
  }

  cable(host: number, state: 'up' | 'down'): void {
    ip('-n', this.#hosts[host]!, 'link', 'set', CABLE, state);
  }

  /** The two do not reach each other, but all the others. */
  part(a: number, b: number): void {
    ip('-n', this.#hosts[a]!, 'route', 'add', 'blackhole', `${this.address(b)}/32`);
  }

  join(a: number, b: number): void {
    ip('-n', this.#hosts[a]!, 'route', 'delete', 'blackhole', `${this.address(b)}/32`);
  }

  /** What the host sends goes through this queueing discipline of `tc`. False where there is none; then it stays as it is. */
  shape(host: number, ...discipline: readonly string[]): boolean {
    return this.#tc(host, 'replace', ...discipline);
  }

  unshape(host: number): void {
    this.#tc(host, 'delete');
  }

  #tc(host: number, ...args: readonly string[]): boolean {
    const [action, ...discipline] = args;
    const command = [...this.within(host), 'tc', 'qdisc', action!, 'dev', CABLE, 'root', ...discipline];
    return spawnSync(command[0]!, command.slice(1)).status === 0;
  }

  #plugIn(host: number, name: string): void {
    const port = `port${host}`;
    ip('netns', 'add', name);
    ip('link', 'add', CABLE, 'netns', name, 'type', 'veth', 'peer', 'name', port, 'netns', this.#hub);
    ip('-n', this.#hub, 'link', 'set', port, 'master', 'switch', 'up');
    ip('-n', name, 'address', 'add', `${this.address(host)}/24`, 'dev', CABLE);
    for (const link of ['lo', CABLE]) ip('-n', name, 'link', 'set', link, 'up');
  }

  [Symbol.dispose](): void {
    for (const name of [...this.#hosts, this.#hub]) spawnSync('ip', ['netns', 'delete', name]);
  }
}

function ip(...args: readonly string[]): void {
  const { status, stderr, error } = spawnSync('ip', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${error?.message ?? stderr.trim()}`);
}
