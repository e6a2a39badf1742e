/** The independent model: what is alive follows from what each write had seen, and from nothing else. */
import { describe, expect, test } from 'vitest';
import { Model, ownerOf } from '../../src/simulation/model.ts';

const nothing = (): boolean => false;

describe('the model', () => {
  test('keeps what nobody who saw it replaced', () => {
    const model = new Model();
    const first = model.write('f/a', '#1', []);
    const left = model.write('f/a', '#2', [first]);
    const right = model.write('f/a', '#3', [first]);
    expect(model.alive(nothing).must.get('f/a')).toEqual(new Set(['#2', '#3']));
    model.write('f/a', undefined, [left]);
    expect(model.alive(nothing).must.get('f/a')).toEqual(new Set(['#3']));
    model.write('f/a', '#4', [right]);
    expect(model.alive(nothing).must.get('f/a')).toEqual(new Set(['#4']));
  });

  test('lets an edit win against a delete that had not seen it', () => {
    const model = new Model();
    const first = model.write('f/a', '#1', []);
    model.write('f/a', undefined, [first]);
    model.write('f/a', '#2', [first]);
    expect(model.alive(nothing).must.get('f/a')).toEqual(new Set(['#2']));
  });

  test('asks the replicas about a write that nobody knows the end of', () => {
    const model = new Model();
    const first = model.write('r/k', '#1', []);
    const unsure = model.write('r/k', '#2', [first]);
    unsure.certain = false;
    expect(model.alive(nothing).must.get('r/k')).toEqual(new Set(['#1']));
    expect(model.alive((_key, value) => value === '#2').must.get('r/k')).toEqual(new Set(['#2']));
    model.write('r/k', '#3', [unsure]);
    expect(model.alive(nothing).must.get('r/k')).toEqual(new Set(['#3']));
  });

  test('takes an uncertain delete for done if what it saw is gone', () => {
    const model = new Model();
    const first = model.write('r/k', '#1', []);
    model.write('r/k', undefined, [first]).certain = false;
    expect(model.alive(nothing).must.get('r/k')).toBeUndefined();
    expect(model.alive(() => true).must.get('r/k')).toEqual(new Set(['#1']));
  });

  test('forgets what was refused, and doubts what was written over unseen', () => {
    const model = new Model();
    const first = model.write('r/k', '#1', []);
    const stale = model.write('r/k', '#2', [first]);
    stale.certain = false;
    model.forget(stale);
    expect(model.alive(() => true).must.get('r/k')).toEqual(new Set(['#1']));
    model.wasBlind(model.write('r/k', '#3', []));
    const { must, may } = model.alive(nothing);
    expect([must.get('r/k'), may.get('r/k')]).toEqual([new Set(['#3']), new Set(['#1'])]);
  });

  test('can not tell whether who saw a value saw that it had been kept', () => {
    const model = new Model();
    const [first, other] = [model.write('f/a', '#1', []), model.write('f/a', '#2', [])];
    model.write('f/a', '#1', [first, other]);
    expect(model.alive(nothing).must.get('f/a')).toEqual(new Set(['#1']));
    model.write('f/a', '#3', [model.find('f/a', '#1')!]);
    const { must, may } = model.alive(nothing);
    expect([must.get('f/a'), may.get('f/a')]).toEqual([new Set(['#3']), new Set(['#1'])]);
  });

  test('finds what a conflict copy is a copy of', () => {
    expect(ownerOf('d/x.conflict-20261123T043455Z-0a1b2c3d-1f.txt')).toBe('d/x.txt');
    expect(ownerOf('d/x.conflict-20261123T043455Z-0a1b2c3d-1f')).toBe('d/x');
    expect(ownerOf('d/x.txt')).toBeUndefined();
    const model = new Model();
    const first = model.write('f/d/x', '#1:644', []);
    expect(model.findShown('d/x.conflict-20261123T043455Z-0a1b2c3d-1f', '#1:644')).toBe(first);
    const own = model.write('f/d/x.conflict-20261123T043455Z-0a1b2c3d-1f', '#2:644', []);
    expect(model.findShown('d/x.conflict-20261123T043455Z-0a1b2c3d-1f', '#2:644')).toBe(own);
    expect(model.findShown('d/x.conflict-20261123T043455Z-0a1b2c3d-1f', '#7:644')).toBeUndefined();
  });
});
