/** The records that the trees of others hold: one of `count` under a key that sorts by its number, `differences` of them other. */
import { createHash } from 'node:crypto';

export const keyAt = (index) => `sample-${String(index).padStart(9, '0')}`;

/** The number of the record with this key. */
export const numberOf = (key) => Number(key.slice(key.indexOf('-') + 1));

/** 32 bytes, as the records of our own trees have. */
export function valueAt(index, isOther) {
  return createHash('sha256')
    .update(`${isOther ? 'other' : 'value'} ${index}`)
    .digest();
}

/** Which records are other on one side: evenly scattered. */
export const isOther = (index, count, differences) =>
  Math.floor((index * differences) / count) !== Math.floor(((index + 1) * differences) / count);
