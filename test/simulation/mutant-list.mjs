/** All mutants; mutants.md says what each of them breaks, and what caught it. */
import { ENTRY_MUTANTS } from './mutants-entry.mjs';
import { FOLDER_MUTANTS } from './mutants-folder.mjs';
import { PEER_MUTANTS } from './mutants-peer.mjs';
import { REPLICA_MUTANTS } from './mutants-replica.mjs';

/**
 * @typedef {object} Mutant
 * @property {string} name
 * @property {string} file  below the top of the project
 * @property {string} breaks  what it does to somebody
 * @property {string} promise  which one; with its number in docs/ARCHITECTURE.md where it has one
 * @property {readonly { readonly find: string, readonly put: string }[]} edits  each `find` is there exactly once, in its turn
 * @property {readonly string[]} laws  the tests that state what it breaks: asked where the simulator finds nothing
 */

/** @type {readonly Mutant[]} */
export const MUTANTS = [...ENTRY_MUTANTS, ...REPLICA_MUTANTS, ...PEER_MUTANTS, ...FOLDER_MUTANTS];
