/** What tests of the simulator's parts share: a time, and ways to let it pass. */
import { SeededRandom } from '../../src/simulation/random.ts';
import { VirtualTime } from '../../src/simulation/virtual-time.ts';

export function drainByTick(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}

export function makeTime(seed = '1'): VirtualTime {
  return new VirtualTime({ drain: drainByTick, random: new SeededRandom(`${seed}/time`) });
}

/** Lets time pass until `promise` is settled. */
export async function passUntil<T>(time: VirtualTime, promise: Promise<T>): Promise<T> {
  let settled = false;
  const mark = (): void => void (settled = true);
  promise.then(mark, mark);
  if ((await time.run({ until: () => settled })) === 'idle' && !settled) throw new Error('nothing is left to happen');
  return promise;
}
