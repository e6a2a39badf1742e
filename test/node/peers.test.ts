import { describe, expect, it, vi } from 'vitest';
import { SamerootError } from '../../src/base/errors.ts';
import { silentLog, type World } from '../../src/base/world.ts';
import type { Transport } from '../../src/net/transport.ts';
import type { LinkHost } from '../../src/node/peer-link.ts';
import { Peers } from '../../src/node/peers.ts';
import { encodeShare } from '../../src/replica/share.ts';
import type { Hello } from '../../src/session/handshake.ts';
import { decodeMessage, encodeMessage } from '../../src/wire/codec.ts';
import { PROTOCOL_VERSION } from '../../src/wire/messages.ts';
import { seededRandom, smallShare, TestClock } from '../replica/world.ts';
import { FakeChannel } from './parts.ts';

const [OWN, PEER] = ['11'.repeat(32), '22'.repeat(32)];
const ADDRESS = { host: 'host', port: 7 };

function helloOf(nodeId: string): Hello {
  return {
    type: 'hello',
    versionMin: PROTOCOL_VERSION,
    versionMax: PROTOCOL_VERSION,
    capabilities: [],
    nodeId,
    name: 'host',
    listenPort: 7,
    replica: '00'.repeat(8),
    share: encodeShare(smallShare(OWN)),
    root: new Uint8Array(32),
    containsReplica: undefined,
    contains: undefined,
  };
}

/** Peers whose connections end as soon as they are open. Over TLS the other end is known before it greets. */
function world(transport: 'TLS' | 'plain text' = 'TLS') {
  const never = { cancel: () => undefined };
  const timers = { after: () => never, every: () => never, soon: (): void => undefined };
  const channels: FakeChannel[] = [];
  const dial: Transport['dial'] = () => {
    const channel = Object.assign(new FakeChannel(transport === 'TLS' ? PEER : undefined), { dialed: true, remoteAddress: 'host:7' });
    channels.push(channel);
    return Promise.resolve(channel);
  };
  const host: Partial<LinkHost> = {
    world: { clock: new TestClock(), timers, random: seededRandom(1), log: silentLog } as unknown as World,
    handshake: { refusalOf: () => ({ code: 'INVITER_EVICTED' }), judge: () => ({ code: 'INVITER_EVICTED' }) },
    makeHello: () => Promise.resolve(helloOf(OWN)),
    ground: () => {
      throw new SamerootError('NOT_INVITED', 'the peer refused this host');
    },
  };
  const whileOpen: unknown[] = [];
  const peers: Peers = new Peers({
    transport: { dial } as Transport,
    host: host as LinkHost,
    world: host.world!,
    nodeId: OWN,
    opening: () => undefined,
    expect: () => true,
    onOpen: () => whileOpen.push(peers.unreached()),
    onClose: () => undefined,
  });
  return { peers, channels, whileOpen };
}

describe('an address that is to be connected with', () => {
  it.each(['TLS', 'plain text'] as const)(
    'is told of with the last error while it is not connected, also when it was reached once: %s',
    async (transport) => {
      const { peers, channels, whileOpen } = world(transport);
      peers.keep(ADDRESS, undefined);
      expect(peers.unreached()).toEqual([]);
      await vi.waitFor(() => expect(channels[0]?.sent).toHaveLength(1));
      channels[0]!.onMessage!(encodeMessage(helloOf(PEER)));
      expect(whileOpen).toEqual([[]]);
      expect(peers.unreached()).toMatchObject([{ address: 'host:7', nodeId: PEER, error: { code: 'NOT_INVITED' } }]);
    },
  );
});

describe('a host that has left the share', () => {
  it('dials nobody, and refuses all who come', () => {
    const { peers, channels } = world();
    peers.leave();
    peers.keep(ADDRESS, PEER);
    expect(channels).toEqual([]);
    const guest = new FakeChannel(PEER);
    peers.accept(guest);
    guest.onMessage!(encodeMessage(helloOf(PEER)));
    expect(guest.sent.map((bytes) => decodeMessage(bytes))).toEqual([{ type: 'refuse', code: 'INVITER_EVICTED', sinceMs: undefined }]);
    expect(guest.closed).toHaveLength(1);
    expect([peers.links.size, peers.unreached()]).toEqual([0, []]);
    peers.close();
    const late = new FakeChannel(PEER);
    peers.accept(late);
    expect([late.sent, late.closed]).toEqual([[], [{ code: 1_001, text: '' }]]);
  });
});
