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
