/**
 * How fast the product's own connections carry messages between two threads of this host: framing, TLS and the system calls,
 * without a wire. What a line between two hosts allows is not known here; what this host could make of it is.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { SamerootError } from '../../base/errors.ts';
import { CHUNK_FRAME_BYTES_MAX, SEND_HIGH_WATER_BYTES } from '../../base/limits.ts';
import { builtFile } from '../../base/built-file.ts';
import { loadIdentity } from '../../net/identity.ts';
import type { Address, Channel } from '../../net/transport.ts';
import { createPlainTransport, createTlsTransport } from '../../net/ws-transport.ts';
import { secondsSince, type Control } from './control.ts';
import type { Figures, LineFigures } from './first-sync.ts';
import type { Payload } from './payload.ts';

const DIAL_MS_MAX = 10_000;
const QUESTIONS = 60;
/** The first ones are slower: code is compiled, buffers are made. */
const QUESTIONS_UNCOUNTED = 10;
const QUESTION_BYTES = 32;

/** What the other end, `peer-worker.ts`, is told and tells. */
export interface PeerInput {
  /** Where its key is kept; no other process uses it. */
  readonly dataDir: string;
}

export interface PeerReady {
  readonly nodeId: string;
  readonly tls: Address;
  readonly plain: Address;
}

/** The thread at the other end, for as long as it is needed. */
export class Peer implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #ready: Promise<unknown[]>;

  constructor(dataDir: string) {
    const workerData: PeerInput = { dataDir };
    this.#worker = new Worker(builtFile(import.meta.url, 'app/bench/peer-worker.js'), { name: 'sameroot-bench-peer', workerData });
    this.#ready = once(this.#worker, 'message');
    this.#ready.catch(() => undefined);
  }

  /** Fails if the thread has. */
  async ready(): Promise<PeerReady> {
    return (await this.#ready)[0] as PeerReady;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }
}

/** `dataDir`: where the key of this end is kept. Each of the two connections gets `budgetMs`. */
export async function measureLoopback(
  peer: Peer,
  dataDir: string,
  payload: Payload,
  budgetMs: number,
  control: Control,
): Promise<Figures['loopback']> {
  const { nodeId, tls, plain } = await control.orStop(peer.ready());
  const identity = await loadIdentity(dataDir);
  const isPeer = (remoteId: string): boolean => remoteId === nodeId;
  return {
    tls: await measureLine(await createTlsTransport(identity).dial(tls, isPeer, DIAL_MS_MAX), payload, budgetMs, control),
    plain: await measureLine(await createPlainTransport().dial(plain, isPeer, DIAL_MS_MAX), payload, budgetMs, control),
  };
}

async function measureLine(channel: Channel, { block }: Payload, budgetMs: number, control: Control): Promise<LineFigures> {
  const line = new Line(channel);
  try {
    const question = block.subarray(0, QUESTION_BYTES);
    const roundTrips: number[] = [];
    for (let at = 0; at < QUESTIONS; at++) {
      control.at('asking over loopback');
      const sinceMs = performance.now();
      await line.ask(question);
      if (at >= QUESTIONS_UNCOUNTED) roundTrips.push(performance.now() - sinceMs);
    }
    const sinceMs = performance.now();
    let bytes = 0;
    while (performance.now() - sinceMs < budgetMs) {
      control.at('sending over loopback');
      const from = bytes % block.length;
      await line.send(block.subarray(from, from + CHUNK_FRAME_BYTES_MAX));
      bytes += CHUNK_FRAME_BYTES_MAX;
    }
    // It is answered after all that was sent before it has arrived.
    await line.ask(question);
    return { bytesPerSecond: bytes / secondsSince(sinceMs), roundTripMs: roundTrips.sort((a, b) => a - b)[roundTrips.length >>> 1]! };
  } finally {
    line.close();
  }
}

/** A channel whose other end gives back what is small and drops the rest. */
class Line {
  readonly #channel: Channel;
  #failure: SamerootError | undefined;
  #goOn: ((failure: SamerootError | undefined) => void) | undefined;

  constructor(channel: Channel) {
    this.#channel = channel;
    channel.onMessage = () => this.#goOn?.(undefined);
    channel.onDrain = () => this.#goOn?.(undefined);
    channel.onClose = ({ code }) => {
      this.#failure = new SamerootError('PEER_UNREACHABLE', `the connection over loopback broke (${code})`);
      this.#goOn?.(this.#failure);
    };
  }

  ask(question: Uint8Array): Promise<void> {
    const answered = this.#next();
    this.#channel.send(question);
    return answered;
  }

  /** Resolves when more may be sent. */
  send(frame: Uint8Array): Promise<void> | undefined {
    this.#channel.send(frame);
    return this.#channel.bufferedBytes > SEND_HIGH_WATER_BYTES ? this.#next() : undefined;
  }

  close(): void {
    this.#channel.onClose = undefined;
    this.#channel.close();
  }

  #next(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#goOn = (failure) => {
        if (failure === undefined) resolve();
        else reject(failure);
      };
      if (this.#failure !== undefined) this.#goOn(this.#failure);
    });
  }
}
