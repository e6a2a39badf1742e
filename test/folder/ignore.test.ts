import { describe, expect, it } from 'vitest';
import { IgnoreRules } from '../../src/folder/ignore.ts';

describe('IgnoreRules', () => {
  it('follows gitignore: folders, negation, anchors, case', () => {
    const rules = new IgnoreRules('# notes\n*.tmp\nbuild/\n/top\n!keep.tmp\n');
    expect(rules.ignores('a/b.tmp', false)).toBe(true);
    expect(rules.ignores('a/keep.tmp', false)).toBe(false);
    expect(rules.ignores('a/B.TMP', false)).toBe(false);
    expect(rules.ignores('build', true)).toBe(true);
    expect(rules.ignores('build', false)).toBe(false);
    expect(rules.ignores('a/build/deep/x', false)).toBe(true);
    expect(rules.ignores('top', false)).toBe(true);
    expect(rules.ignores('a/top', false)).toBe(false);
  });

  it('names the rule that decides: the last that matches, of the path or of a folder above it', () => {
    const rules = new IgnoreRules('# notes\n*.tmp\r\nbuild/\n!keep.tmp\n*.tmp\n');
    expect(rules.ruleFor('a/b.tmp', false)).toEqual({ line: 5, rule: '*.tmp' });
    expect(rules.ruleFor('a/build/deep/x', false)).toEqual({ line: 3, rule: 'build/' });
    expect(rules.ruleFor('a/build', false)).toBeUndefined();
    expect(new IgnoreRules('*').ruleFor('.samerootignore', false)).toBeUndefined();
    expect(new IgnoreRules('').ruleFor('a', false)).toBeUndefined();
  });

  it('never ignores the file with the rules', () => {
    const rules = new IgnoreRules('*');
    expect(rules.ignores('.samerootignore', false)).toBe(false);
    expect(rules.ignores('a/.samerootignore', false)).toBe(true);
  });

  it('ignores nothing without rules, and goes on after very many questions', () => {
    expect(new IgnoreRules('\n# only a remark\n').ignores('a', false)).toBe(false);
    const rules = new IgnoreRules('*.o');
    let ignored = 0;
    for (let i = 0; i < 45_000; i++) if (rules.ignores(`d/${i}.o`, false)) ignored++;
    expect(ignored).toBe(45_000);
    expect(rules.ignores('d/x.c', false)).toBe(false);
  });
});
