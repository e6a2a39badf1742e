/**
 * How the replica stands to what lies in its folder. Ordinarily a file without a row is new, and one that differs from its row
 * was edited. That is not so where the database was lost or is an older copy; then this says so, until it is over.
 */
export class Standing {
  /**
   * While the replica comes back to its share: the folder in the quarantine for files that give way. What is found is withheld
   * meanwhile, see `set-aside.ts`.
   */
  quarantine: string | undefined;
  /** The database is an older copy, and so may the files be: those that differ from their rows in mode or time only were not edited. */
  restored = false;
  /** Files that were put into the quarantine. */
  setAside = 0;
}
