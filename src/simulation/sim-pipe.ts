/**
 * One direction of a simulated connection: what waits to be sent, what is under way, in order.
 *
 * Invariant: parcels arrive whole, once and in the order of `send`, or never again any. What is cut off (`reaches` is
 * false) stalls as a TCP connection does, and arrives late if the network heals in time.
 *
 * A parcel is under way when the operating system has taken all its parts. It takes a part at a time where the link has a
 * bandwidth or the message is long, so `bufferedBytes` sinks gradually; and it takes no further message while the
 * receiver leaves WINDOW_BYTES of the earlier ones unread.
 */
import { assert } from '../base/assert.ts';
import { KIB, SEND_HIGH_WATER_BYTES, SEND_LOW_WATER_BYTES } from '../base/limits.ts';
import type { CloseReason } from '../net/transport.ts';
import type { SeededRandom } from './random.ts';
import type { VirtualTime } from './virtual-time.ts';

export interface NetworkFaults {
  /** How long a message is under way, one way, each by itself. */
  readonly delayMsMin: number;
  readonly delayMsMax: number;
  /** Of a message, to arrive in the same read as the one before it. */
  readonly togetherChance: number;
  /** Of a message, that its connection breaks when it is sent. */
  readonly dropChance: number;
  /** Of a dial, to be refused. */
  readonly refuseChance: number;
  /** Of a dial, to get no answer at all. */
  readonly hangChance: number;
}

/** A message, or with `reason` the goodbye after the last one. */
export interface Parcel {
  readonly bytes: Uint8Array;
  readonly reason: CloseReason | undefined;
  /** What the sender holds, to see that it left it alone; only where senders are checked. */
  readonly original: Uint8Array | undefined;
  /** The sender may change its bytes again. */
  readonly taken?: (() => void) | undefined;
}

/** What a pipe asks of the network. */
export interface PipeGround {
  readonly time: VirtualTime;
  readonly random: SeededRandom;
  /** As they are now. */
  faults(): NetworkFaults;
  /** Does anything sent now get to the other end? */
  reaches(): boolean;
  /** Infinity: a part takes no time. */
  bytesPerMs(): number;
  arrive(parcel: Parcel): void;
  drained(): void;
}

const PART_BYTES: number = 64 * KIB;
const WINDOW_BYTES: number = 256 * KIB;

export class Pipe {
  readonly #ground: PipeGround;
  #waiting: Parcel[] = [];
  /** Bytes of the first waiting parcel that were taken. */
  #takenBytes = 0;
  #flight: { readonly parcel: Parcel; readonly dueMs: number }[] = [];
  #lastDueMs = 0;
  /** Bytes that were taken and that the receiver has not read. */
  #unreadBytes = 0;
  #pumping = false;
  #aboveHighWater = false;
  #lost = false;
  #bufferedBytes = 0;

  constructor(ground: PipeGround) {
    this.#ground = ground;
  }

  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  send(parcel: Parcel): void {
    if (this.#lost) return;
    if (this.#waiting.length === 0 && parcel.bytes.length <= PART_BYTES && this.#isRoom() && this.#ground.bytesPerMs() === Infinity) {
      this.#takeOff(parcel);
      return;
    }
    this.#waiting.push(parcel);
    this.#bufferedBytes += parcel.bytes.length;
    if (this.#bufferedBytes > SEND_HIGH_WATER_BYTES) this.#aboveHighWater = true;
    this.#pumpSoon(0);
  }

  /** The receiver has read a message. */
  read(bytes: number): void {
    this.#unreadBytes -= bytes;
    assert(this.#unreadBytes >= 0, 'nothing is read twice');
    this.#pumpSoon(0);
  }

  /** The network may have changed: what stalled goes on. */
  retry(): void {
    if (this.#flight.length > 0) this.#ground.time.schedule(this.#delayMs(), () => this.#land());
  }

  /** The sender's process is gone; what the operating system had taken still arrives. */
  forgetWaiting(): void {
    this.#waiting = [];
    this.#takenBytes = 0;
    this.#bufferedBytes = 0;
    this.#aboveHighWater = false;
  }

  /** Nothing arrives any more. */
  lose(): void {
    this.#lost = true;
    this.#flight = [];
    this.forgetWaiting();
  }

  #isRoom(): boolean {
    return this.#unreadBytes < WINDOW_BYTES;
  }

  #delayMs(): number {
    const { delayMsMin, delayMsMax } = this.#ground.faults();
    return this.#ground.random.between(delayMsMin, delayMsMax);
  }

  #pumpSoon(afterMs: number): void {
    if (this.#pumping || this.#waiting.length === 0 || !this.#isRoom()) return;
    this.#pumping = true;
    this.#ground.time.schedule(afterMs, () => {
      this.#pumping = false;
      this.#takePart();
    });
  }

  #takePart(): void {
    const parcel = this.#waiting[0];
    if (parcel === undefined || !this.#isRoom()) return;
    const part = Math.min(PART_BYTES, parcel.bytes.length - this.#takenBytes);
    this.#takenBytes += part;
    this.#bufferedBytes -= part;
    if (this.#takenBytes === parcel.bytes.length) {
      this.#waiting.shift();
      this.#takenBytes = 0;
      this.#takeOff(parcel);
    }
    this.#pumpSoon(part / this.#ground.bytesPerMs());
    if (!this.#aboveHighWater || this.#bufferedBytes > SEND_LOW_WATER_BYTES) return;
    this.#aboveHighWater = false;
    this.#ground.drained();
  }

  #takeOff(parcel: Parcel): void {
    const { time, random } = this.#ground;
    this.#unreadBytes += parcel.bytes.length;
    const delayMs = this.#delayMs();
    const together = random.chance(this.#ground.faults().togetherChance) && this.#flight.length > 0;
    const dueMs = Math.max(this.#lastDueMs, together ? 0 : time.nowMs + delayMs);
    this.#flight.push({ parcel, dueMs });
    this.#lastDueMs = dueMs;
    if (!together) time.schedule(dueMs - time.nowMs, () => this.#land());
  }

  /** Everything that is due arrives in one turn, as messages do that lie in one read of a socket. */
  #land(): void {
    if (!this.#ground.reaches()) return;
    while (this.#flight.length > 0 && this.#flight[0]!.dueMs <= this.#ground.time.nowMs) {
      this.#ground.arrive(this.#flight.shift()!.parcel);
    }
  }
}
