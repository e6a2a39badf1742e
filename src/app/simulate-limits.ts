/** What `simulate` takes, apart from its work: the command line knows it without loading the simulator. */
import { REPLICAS_MAX, REPLICAS_MIN, STEPS_MAX } from '../simulation/limits.ts';

interface SimulateLimits {
  readonly replicasMin: number;
  readonly replicasMax: number;
  readonly stepsMax: number;
  readonly seedsMax: number;
  /** Small enough to run a hundred thousand of them, large enough for three hosts to get into each other's way. */
  readonly defaults: { readonly replicas: number; readonly steps: number };
}

export const SIMULATE_LIMITS: SimulateLimits = {
  replicasMin: REPLICAS_MIN,
  replicasMax: REPLICAS_MAX,
  stepsMax: STEPS_MAX,
  seedsMax: 100_000_000,
  defaults: { replicas: 3, steps: 25 },
};
