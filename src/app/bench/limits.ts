/** What `bench` takes, apart from its work: the command line knows it without loading what measures. */
import { GIB, MIB } from '../../base/limits.ts';

interface BenchLimits {
  readonly bytesMin: number;
  readonly bytesMax: number;
  /** Of the large file where no size is given; less where this would take more than a moment. */
  readonly bytesDefault: number;
  readonly bytesQuick: number;
  readonly filesDefault: number;
  readonly filesQuick: number;
}

export const BENCH_LIMITS: BenchLimits = {
  bytesMin: MIB,
  bytesMax: 64 * GIB,
  bytesDefault: 256 * MIB,
  bytesQuick: 16 * MIB,
  filesDefault: 2_000,
  filesQuick: 200,
};
