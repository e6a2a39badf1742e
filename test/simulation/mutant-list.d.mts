export interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly breaks: string;
  readonly promise: string;
  readonly edits: readonly { readonly find: string; readonly put: string }[];
  readonly laws: readonly string[];
}
export declare const MUTANTS: readonly Mutant[];
