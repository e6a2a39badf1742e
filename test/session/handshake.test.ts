import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SamerootError, type ErrorCode } from '../../src/base/errors.ts';
import { encodeShare, type Share } from '../../src/replica/share.ts';
import { Handshake, type HandshakeEffect, type HandshakeOptions, type Hello } from '../../src/session/handshake.ts';
import { PROTOCOL_VERSION, type Message, type MessageOf } from '../../src/wire/messages.ts';
import { messages } from '../wire/messages.ts';

const DIALER = '11'.repeat(32);
const LISTENER = '22'.repeat(32);

function shareOf(id: number, name: string): Uint8Array {
  const share: Share = {
    id: new Uint8Array(16).fill(id),
    name,
    chunker: { minBytes: 32_768, maskBits: 15, maxBytes: 262_144 },
    rankBits: 5,
    founder: LISTENER,
  };
  return encodeShare(share);
}

function helloOf(nodeId: string, fields: Partial<Hello> = {}): Hello {
  return {
    type: 'hello',
    versionMin: PROTOCOL_VERSION,
    versionMax: PROTOCOL_VERSION,
    capabilities: [],
    nodeId,
    name: 'host',
    listenPort: 1,
    replica: '00'.repeat(8),
    share: shareOf(1, 'data'),
    root: new Uint8Array(32),
    containsReplica: undefined,
    contains: undefined,
    ...fields,
  };
}

const JOIN: MessageOf<'join'> = {
  type: 'join',
  invitation: 'ab'.repeat(8),
  proof: new Uint8Array(32),
  nodeId: DIALER,
  publicKey: new Uint8Array(44),
  name: 'new',
  listenPort: 2,
};

const INTRODUCTIONS: MessageOf<'introductions'> = {
  type: 'introductions',
  items: [{ key: Buffer.from('m/1'), entry: new Uint8Array(3) }],
};

/** One side of a connection; makes its hello at once or when told. */
class Party {
  readonly handshake: Handshake;
  readonly hello: Hello;
  readonly out: Message[] = [];
  readonly seen: HandshakeEffect[] = [];
  slow = false;

  constructor(hello: Hello, options: Partial<HandshakeOptions> & { dialed: boolean }) {
    this.hello = hello;
    this.handshake = new Handshake({
      remoteId: options.dialed ? LISTENER : DIALER,
      refusalOf: () => undefined,
      admit: () => ({ code: 'NOT_INVITED' }),
      judge: () => ({ code: 'NOT_INVITED' }),
      opening: undefined,
      ...options,
    });
  }

  start(): void {
    this.carryOut(this.handshake.start());
  }

  receive(message: Message): void {
    this.carryOut(this.handshake.step(message));
  }

  ready(): void {
    this.carryOut(this.handshake.ready(this.hello));
  }

  carryOut(effects: readonly HandshakeEffect[]): void {
    for (const effect of effects) {
      this.seen.push(effect);
      if (effect.type === 'send') this.out.push(effect.message);
      if (effect.type === 'fail') this.out.push({ type: 'refuse', code: effect.refusal.code, sinceMs: effect.refusal.sinceMs });
      if (effect.type === 'make-hello' && !this.slow) this.ready();
    }
  }

  get done(): Hello | undefined {
    return this.seen.find((effect) => effect.type === 'done')?.hello;
  }

  get failure(): ErrorCode | undefined {
    const failed = this.seen.find((effect) => effect.type === 'fail' || effect.type === 'refused');
    return failed?.error instanceof SamerootError ? failed.error.code : undefined;
  }
}

/** Carries messages to and fro until none is left or a side has failed; gives their types in order. */
function meet(dialer: Party, listener: Party): string[] {
  const log: string[] = [];
  dialer.start();
  listener.start();
  for (;;) {
    const [from, to] = dialer.out.length > 0 ? [dialer, listener] : [listener, dialer];
    const message = from.out.shift();
    if (message === undefined) return log;
    log.push(`${from === dialer ? '>' : '<'}${message.type}`);
    if (to.failure === undefined) to.receive(message);
  }
}

const dialerOf = (fields?: Partial<Hello>, options?: Partial<HandshakeOptions>): Party =>
  new Party(helloOf(DIALER, fields), { dialed: true, ...options });
const listenerOf = (fields?: Partial<Hello>, options?: Partial<HandshakeOptions>): Party =>
  new Party(helloOf(LISTENER, fields), { dialed: false, ...options });

describe('the greeting', () => {
  it('of two members: the dialer first, then the listener', () => {
    const [dialer, listener] = [dialerOf(), listenerOf()];
    expect(meet(dialer, listener)).toEqual(['>hello', '<hello']);
    expect(dialer.done).toBe(listener.hello);
    expect(listener.done).toBe(dialer.hello);
    expect(listener.seen.find((effect) => effect.type === 'make-hello')).toMatchObject({ peer: dialer.hello });
    expect([dialer.handshake.admitted, listener.handshake.admitted]).toEqual([true, true]);
  });

  it('of a joiner: proof, then the listener, then the joiner', () => {
    const [dialer, listener] = [
      dialerOf({}, { opening: JOIN }),
      listenerOf({}, { refusalOf: () => ({ code: 'NOT_INVITED' }), admit: () => undefined }),
    ];
    expect(meet(dialer, listener)).toEqual(['>join', '<hello', '>hello']);
    expect(listener.seen.map(({ type }) => type)).toEqual(['joined', 'make-hello', 'send', 'done']);
    expect([dialer.done, listener.done]).toEqual([listener.hello, dialer.hello]);
  });

  it('of a member that the listener has not heard of: how it became one, then the listener, then the member', () => {
    const shown: string[] = [];
    const judge: HandshakeOptions['judge'] = (nodeId, items) => {
      shown.push(nodeId, ...items.map(({ key }) => Buffer.from(key).toString()));
      return undefined;
    };
    const [dialer, listener] = [
      dialerOf({}, { opening: INTRODUCTIONS }),
      listenerOf({}, { refusalOf: () => ({ code: 'NOT_INVITED' }), judge }),
    ];
    expect(meet(dialer, listener)).toEqual(['>introductions', '<hello', '>hello']);
    expect(listener.seen.map(({ type }) => type)).toEqual(['introduced', 'make-hello', 'send', 'done']);
    expect([shown, dialer.done, listener.done]).toEqual([[DIALER, 'm/1'], listener.hello, dialer.hello]);
  });

  it('waits for a side that still reads its folder, which may say hold', () => {
    const [dialer, listener] = [dialerOf(), listenerOf()];
    listener.slow = true;
    expect(meet(dialer, listener)).toEqual(['>hello']);
    expect(listener.handshake.admitted).toBe(true);
    dialer.receive({ type: 'hold' });
    dialer.receive({ type: 'hold' });
    expect(dialer.seen.map(({ type }) => type)).toEqual(['make-hello', 'send']);
    listener.ready();
    dialer.receive(listener.out.shift()!);
    expect([dialer.done, listener.done]).toEqual([listener.hello, dialer.hello]);
  });

  it('works over a channel that proves nothing: what they say counts', () => {
    const [dialer, listener] = [
      dialerOf({}, { remoteId: undefined }),
      listenerOf({}, { remoteId: undefined, refusalOf: (id) => (id === DIALER ? undefined : { code: 'NOT_INVITED' }) }),
    ];
    meet(dialer, listener);
    expect(listener.done).toBe(dialer.hello);
    const stranger = dialerOf({ nodeId: '33'.repeat(32) }, { remoteId: undefined });
    const other = listenerOf({}, { remoteId: undefined, refusalOf: (id) => (id === DIALER ? undefined : { code: 'NOT_INVITED' }) });
    meet(stranger, other);
    expect(other.failure).toBe('NOT_INVITED');
  });
});

describe('a stranger', () => {
  it('learns nothing but a refusal, whatever it sends', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            messages,
            messages
              .filter(({ type }) => type === 'hello' || type === 'join')
              .map((message) => ({ ...message, nodeId: DIALER }) as Message),
            fc.constantFrom<Message>(
              helloOf(DIALER),
              JOIN,
              INTRODUCTIONS,
              { type: 'hold' },
              helloOf(DIALER, { versionMin: 9, versionMax: 9 }),
            ),
          ),
          { minLength: 1, maxLength: 6 },
        ),
        fc.constantFrom<ErrorCode>('NOT_INVITED', 'TOKEN_EXPIRED'),
        (list, refusal) => {
          const listener = listenerOf({}, { refusalOf: () => ({ code: 'NOT_INVITED' }), admit: () => ({ code: refusal }) });
          listener.start();
          expect(listener.seen).toEqual([]);
          for (const message of list) {
            listener.receive(message);
            expect(listener.handshake.admitted).toBe(false);
          }
          expect(listener.out.filter(({ type }) => type !== 'refuse')).toEqual([]);
          expect(listener.seen.every(({ type }) => type === 'fail' || type === 'refused')).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('that was evicted is told so, and nothing else', () => {
    for (const first of [helloOf(DIALER), { type: 'hold' } as const]) {
      const listener = listenerOf({}, { refusalOf: () => ({ code: 'EVICTED', sinceMs: 7 }) });
      listener.receive(first);
      expect([listener.failure, listener.out]).toEqual(['EVICTED', [{ type: 'refuse', code: 'EVICTED', sinceMs: 7 }]]);
    }
    const [dialer, listener] = [dialerOf(), listenerOf({}, { refusalOf: () => ({ code: 'EVICTED', sinceMs: 7 }) })];
    expect(meet(dialer, listener)).toEqual(['>hello', '<refuse']);
    expect(dialer.seen.at(-1)).toMatchObject({ type: 'refused', error: { code: 'EVICTED' }, sinceMs: 7 });
  });

  it('that was evicted comes in with a new invitation', () => {
    const [dialer, listener] = [
      dialerOf({}, { opening: JOIN }),
      listenerOf({}, { refusalOf: () => ({ code: 'EVICTED', sinceMs: 7 }), admit: () => undefined }),
    ];
    meet(dialer, listener);
    expect([dialer.failure, listener.failure, listener.handshake.admitted]).toEqual([undefined, undefined, true]);
  });

  it('can not keep a connection with hold', () => {
    const listener = listenerOf({}, { refusalOf: () => ({ code: 'NOT_INVITED' }) });
    listener.receive({ type: 'hold' });
    expect(listener.failure).toBe('NOT_INVITED');
  });

  it('is refused by the code that the invitation gives', () => {
    const [dialer, listener] = [
      dialerOf({}, { opening: JOIN }),
      listenerOf({}, { refusalOf: () => ({ code: 'NOT_INVITED' }), admit: () => ({ code: 'TOKEN_EXPIRED' }) }),
    ];
    expect(meet(dialer, listener)).toEqual(['>join', '<refuse']);
    expect([dialer.failure, listener.failure]).toEqual(['TOKEN_EXPIRED', 'TOKEN_EXPIRED']);
    expect(dialer.seen.at(-1)).toMatchObject({ type: 'refused', sinceMs: undefined });
  });
});

describe('introductions', () => {
  it('that lead to no member are refused by the code that they are judged by', () => {
    const [dialer, listener] = [
      dialerOf({}, { opening: INTRODUCTIONS }),
      listenerOf({}, { refusalOf: () => ({ code: 'NOT_INVITED' }), judge: () => ({ code: 'INVITER_EVICTED' }) }),
    ];
    expect(meet(dialer, listener)).toEqual(['>introductions', '<refuse']);
    expect([dialer.failure, listener.failure, listener.handshake.admitted]).toEqual(['INVITER_EVICTED', 'INVITER_EVICTED', false]);
  });

  it('are shown once, by a dialer, over a channel that proves who it is', () => {
    const judge: HandshakeOptions['judge'] = () => undefined;
    const twice = listenerOf({}, { judge });
    for (const message of [INTRODUCTIONS, INTRODUCTIONS]) twice.receive(message);
    expect(twice.failure).toBe('BAD_MESSAGE');
    const listening = dialerOf({}, { judge });
    listening.receive(INTRODUCTIONS);
    expect(listening.failure).toBe('BAD_MESSAGE');
    const plain = listenerOf({}, { judge, remoteId: undefined });
    plain.receive(INTRODUCTIONS);
    expect(plain.failure).toBe('BAD_MESSAGE');
  });

  it('do not let another in', () => {
    const listener = listenerOf({}, { refusalOf: () => ({ code: 'NOT_INVITED' }), judge: () => undefined });
    listener.receive(INTRODUCTIONS);
    listener.receive(helloOf('33'.repeat(32)));
    expect([listener.failure, listener.done]).toEqual(['BAD_MESSAGE', undefined]);
  });
});

describe('a greeting that does not hold', () => {
  const failures = (dialer: Party, listener: Party): [ErrorCode | undefined, ErrorCode | undefined] => {
    meet(dialer, listener);
    return [dialer.failure, listener.failure];
  };

  it('another node id than the key has', () => {
    expect(failures(dialerOf({ nodeId: '33'.repeat(32) }), listenerOf())).toEqual(['BAD_MESSAGE', 'BAD_MESSAGE']);
    expect(failures(dialerOf(), listenerOf({ nodeId: '33'.repeat(32) }))).toEqual(['BAD_MESSAGE', 'BAD_MESSAGE']);
    const claims = { ...JOIN, nodeId: '33'.repeat(32) };
    expect(failures(dialerOf({}, { opening: claims }), listenerOf({}, { admit: () => undefined }))).toEqual(['BAD_MESSAGE', 'BAD_MESSAGE']);
  });

  it('another node id than the invitation was used with', () => {
    const dialer = dialerOf({ nodeId: '33'.repeat(32) }, { remoteId: undefined, opening: JOIN });
    const listener = listenerOf({}, { remoteId: undefined, admit: () => undefined });
    meet(dialer, listener);
    expect(listener.failure).toBe('BAD_MESSAGE');
    expect(listener.done).toBeUndefined();
  });

  it('no version in common, told to members only', () => {
    for (const [versionMin, versionMax] of [
      [2, 3],
      [0, 0],
    ]) {
      expect(failures(dialerOf({ versionMin: versionMin!, versionMax: versionMax! }), listenerOf())).toEqual([
        'VERSION_MISMATCH',
        'VERSION_MISMATCH',
      ]);
      expect(failures(dialerOf(), listenerOf({ versionMin: versionMin!, versionMax: versionMax! }))).toEqual([
        'VERSION_MISMATCH',
        'VERSION_MISMATCH',
      ]);
    }
    expect(failures(dialerOf({ versionMin: 0, versionMax: 9 }), listenerOf())).toEqual([undefined, undefined]);
  });

  it('another share; its name alone may differ', () => {
    const [dialer, listener] = [dialerOf({ share: shareOf(2, 'data') }), listenerOf()];
    expect(failures(dialer, listener)).toEqual(['SHARE_MISMATCH', 'SHARE_MISMATCH']);
    expect([dialer.done, listener.done]).toEqual([undefined, undefined]);
    expect(failures(dialerOf({ share: new Uint8Array(3) }), listenerOf())[1]).toBe('SHARE_MISMATCH');
    expect(failures(dialerOf({ share: shareOf(1, 'another name') }), listenerOf())).toEqual([undefined, undefined]);
  });

  it('a second hello, a second join, a join to the dialer, anything else first', () => {
    const second = listenerOf();
    second.slow = true;
    second.receive(helloOf(DIALER));
    second.receive(helloOf(DIALER));
    expect(second.failure).toBe('BAD_MESSAGE');
    const joins = listenerOf({}, { admit: () => undefined });
    joins.receive(JOIN);
    joins.receive(JOIN);
    expect(joins.failure).toBe('BAD_MESSAGE');
    const dialer = dialerOf();
    dialer.receive({ ...JOIN, nodeId: LISTENER });
    expect(dialer.failure).toBe('BAD_MESSAGE');
    fc.assert(
      fc.property(
        messages.filter(({ type }) => !['hello', 'join', 'introductions', 'hold', 'refuse'].includes(type)),
        fc.boolean(),
        (message, dialed) => {
          const party = dialed ? dialerOf() : listenerOf();
          party.receive(message);
          expect(party.failure).toBe('BAD_MESSAGE');
          expect(party.done).toBeUndefined();
        },
      ),
    );
  });

  it('a refusal in words that we do not know', () => {
    const dialer = dialerOf();
    dialer.receive({ type: 'refuse', code: 'SOMETHING_NEW', sinceMs: undefined });
    expect(dialer.failure).toBe('BAD_MESSAGE');
    expect(dialer.out).toEqual([]);
  });
});
