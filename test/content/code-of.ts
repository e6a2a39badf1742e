import { SamerootError } from '../../src/base/errors.ts';

/** The code of the error that `action` throws; `undefined` if it throws none. Other errors pass through. */
export function codeOf(action: () => unknown): string | undefined {
  try {
    action();
  } catch (error) {
    if (error instanceof SamerootError) return error.code;
    throw error;
  }
  return undefined;
}
