/** Limits of a simulated history. */

/** Grows when a seed no longer means the same run. */
export const SIMULATION_VERSION = 2;
export const REPLICAS_MIN = 2;
export const REPLICAS_MAX = 8;
export const STEPS_MAX = 100_000;
