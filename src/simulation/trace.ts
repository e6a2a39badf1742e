/**
 * What a run did, in order. Everything goes into one number, so that two runs are the same if their numbers are; what a
 * person wants to read goes out as lines, too.
 */
export interface TraceLine {
  readonly atMs: number;
  /** Number of the host; undefined: the network, or everything. */
  readonly host: number | undefined;
  readonly text: string;
}

export class Trace {
  readonly #print: ((line: TraceLine) => void) | undefined;
  readonly #nowMs: () => number;
  #high = 0x6a09e667;
  #low = 0xbb67ae85;
  readonly counts: Map<string, number> = new Map();

  constructor(nowMs: () => number, print: ((line: TraceLine) => void) | undefined) {
    this.#nowMs = nowMs;
    this.#print = print;
  }

  /** An event worth a line. `kind` is counted. */
  tell(host: number | undefined, kind: string, text: string): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    this.effect(host ?? -1, kind, text.length);
    this.#mixText(text);
    this.#print?.({ atMs: this.#nowMs(), host, text: text === '' ? kind : `${kind} ${text}` });
  }

  /** One of the many small events. */
  effect(host: number, kind: string, size: number): void {
    this.#mix(Math.floor(this.#nowMs() * 1_000));
    this.#mix(host);
    this.#mix(size);
    this.#mixText(kind);
  }

  get nowMs(): number {
    return this.#nowMs();
  }

  /** 16 hex digits. Not cryptographic: it tells runs apart, not forgers. */
  get hash(): string {
    return (this.#high >>> 0).toString(16).padStart(8, '0') + (this.#low >>> 0).toString(16).padStart(8, '0');
  }

  #mixText(text: string): void {
    for (let at = 0; at < text.length; at++) this.#mix(text.charCodeAt(at));
  }

  /** Two lanes of MurmurHash3's mixing step (Appleby, 2011). */
  #mix(value: number): void {
    this.#high = Math.imul(this.#high ^ value, 0xcc9e2d51);
    this.#high = Math.imul((this.#high << 15) | (this.#high >>> 17), 0x1b873593) + this.#low;
    this.#low = Math.imul(this.#low ^ this.#high ^ (value / 2 ** 32), 0x85ebca6b);
    this.#low = ((this.#low << 13) | (this.#low >>> 19)) + 0xe6546b64;
  }
}
