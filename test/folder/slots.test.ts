import { expect, test } from 'vitest';
import { Slots } from '../../src/folder/slots.ts';

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('whoever finds none free has one in the order of the calls', async () => {
  const slots = new Slots(2);
  const order: number[] = [];
  for (let index = 0; index < 5; index++) void slots.take().then(() => order.push(index));
  await settled();
  expect(order).toEqual([0, 1]);
  slots.release();
  await settled();
  expect(order).toEqual([0, 1, 2]);
  for (let count = 0; count < 4; count++) slots.release();
  await settled();
  expect(order).toEqual([0, 1, 2, 3, 4]);
  await slots.take();
});

test('once they are closed there are none, for those who wait either', async () => {
  const slots = new Slots(1);
  await slots.take();
  const waiting = slots.take();
  slots.close();
  await expect(waiting).rejects.toMatchObject({ code: 'CLOSED' });
  // Those whose wait has failed need not know that they have none.
  slots.release();
  slots.release();
  await expect(slots.take()).rejects.toMatchObject({ code: 'CLOSED' });
});

test('more can not be given back than were taken', () => {
  expect(() => new Slots(1).release()).toThrow('a slot is given back once');
});

test('a job runs in a slot: at once where one is free, in line where none is, and gives it back whatever becomes of it', async () => {
  const slots = new Slots(1);
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  const job = (name: string) => () => {
    begun.push(name);
    return new Promise<string>((resolve) => ends.push(() => resolve(name)));
  };
  const first = slots.run(job('first'));
  const second = slots.run(job('second'));
  expect(begun).toEqual(['first']);
  ends[0]!();
  expect(await first).toBe('first');
  await Promise.resolve();
  expect(begun).toEqual(['first', 'second']);
  ends[1]!();
  await second;
  await expect(slots.run(() => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
  const held = slots.run(job('third'));
  expect(begun.at(-1)).toBe('third');
  const waiting = slots.run(job('late'));
  slots.close();
  await expect(waiting).rejects.toMatchObject({ code: 'CLOSED' });
  await expect(slots.run(job('late'))).rejects.toMatchObject({ code: 'CLOSED' });
  ends[2]!();
  await held;
  expect(begun).not.toContain('late');
});
