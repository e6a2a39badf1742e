/** Who gets in, who does not, and what a stranger learns: nothing. */
import { existsSync, readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { loadIdentity } from '../../src/net/identity.ts';
import { decodeToken, encodeToken, invitationId, joinProof } from '../../src/net/invitation.ts';
import { createTlsTransport } from '../../src/net/ws-transport.ts';
import type { Channel } from '../../src/net/transport.ts';
import { decodeMessage, encodeMessage } from '../../src/wire/codec.ts';
import type { Message, MessageOf } from '../../src/wire/messages.ts';
import { rawTls, upgradeRequest } from '../net/peers.ts';
import { addressOf, Cluster, codeOf, connections, converged, expectSame, sameAddress, sleep, until, type TestNode } from './cluster.ts';

const SECRET_WORDS = ['confidential name.txt', 'the secret text'];

/** A host that speaks the protocol by hand. */
class Stranger implements AsyncDisposable {
  readonly channel: Channel;
  readonly nodeId: string;
  readonly publicKey: Uint8Array;
  readonly heard: Message[] = [];
  closed: string | undefined;

  private constructor(channel: Channel, nodeId: string, publicKey: Uint8Array) {
    this.channel = channel;
    this.nodeId = nodeId;
    this.publicKey = publicKey;
    channel.onMessage = (bytes) => {
      const message = decodeMessage(bytes);
      if (message !== undefined && message.type !== 'chunks') this.heard.push(message);
    };
    channel.onClose = ({ text }) => (this.closed = text);
  }

  static async at(cluster: Cluster, node: TestNode, name: string = 'stranger'): Promise<Stranger> {
    const identity = await loadIdentity(cluster.path(name));
    const channel = await createTlsTransport(identity).dial(addressOf(node), () => true, 10_000);
    return new Stranger(channel, identity.nodeId, identity.publicKey);
  }

  say(message: Message): void {
    this.channel.send(encodeMessage(message));
  }

  join(token: string, change: Partial<MessageOf<'join'>> = {}): void {
    const { secret, inviterId } = decodeToken(token);
    const about = { type: 'join', nodeId: this.nodeId, publicKey: this.publicKey, name: 'stranger', listenPort: 1 } as const;
    const proof = joinProof(secret, this.channel.exporter(), this.nodeId, inviterId);
    this.say({ ...about, invitation: invitationId(secret), proof, ...change });
  }

  /** Resolves to the types of what it was told before the door was shut. */
  async shown(): Promise<string[]> {
    await until(
      'the door is shut',
      () => this.closed !== undefined,
      () => this.heard,
    );
    return this.heard.map((message) => (message.type === 'refuse' ? `refuse ${message.code}` : message.type));
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.channel.close();
    return Promise.resolve();
  }
}

async function nodeWithSecrets(cluster: Cluster): Promise<TestNode> {
  cluster.write('a', SECRET_WORDS[0]!, SECRET_WORDS[1]!);
  const a = await cluster.start('a');
  await a.api.scan();
  return a;
}

describe('a stranger', () => {
  test('with a key of its own and no invitation gets a refusal and nothing else', async () => {
    await using cluster = new Cluster();
    const a = await nodeWithSecrets(cluster);
    const hello: MessageOf<'hello'> = {
      type: 'hello',
      versionMin: 1,
      versionMax: 1,
      capabilities: [],
      nodeId: '',
      name: 'x',
      listenPort: 1,
      replica: '00'.repeat(8),
      share: new Uint8Array(100),
      root: new Uint8Array(32),
      containsReplica: undefined,
      contains: undefined,
    };
    await using one = await Stranger.at(cluster, a);
    one.say({ ...hello, nodeId: one.nodeId });
    expect(await one.shown()).toEqual(['refuse NOT_INVITED']);
    // It can not claim to be a member either, and not begin with a question.
    await using two = await Stranger.at(cluster, a);
    two.say({ ...hello, nodeId: a.id });
    expect((await two.shown()).every((told) => told.startsWith('refuse '))).toBe(true);
    await using three = await Stranger.at(cluster, a);
    three.say({ type: 'list-pages', id: 1, hashes: [new Uint8Array(32)] });
    expect((await three.shown()).every((told) => told.startsWith('refuse '))).toBe(true);
    expect(a.api.status().peers).toEqual([]);
  });

  test('without a key, without TLS, or with another protocol: bytes that say nothing', async () => {
    await using cluster = new Cluster();
    const a = await nodeWithSecrets(cluster);
    const address = addressOf(a);
    const noKey = rawTls({ ...address, async [Symbol.asyncDispose]() {} }, {});
    noKey.socket.write(upgradeRequest());
    await noKey.closed;
    const plain = await heardBy(connect(address.port, address.host), `GET / HTTP/1.1\r\nHost: x\r\n\r\n`);
    const garbage = await heardBy(connect(address.port, address.host), '\0'.repeat(1_000));
    for (const heard of [noKey.text, plain, garbage]) {
      for (const word of [...SECRET_WORDS, a.api.status().shareId, a.api.status().root]) expect(heard).not.toContain(word);
      expect(heard.length).toBeLessThan(300);
    }
  });

  test('a proof that is wrong, too late, for another key, or heard on another connection', async () => {
    await using cluster = new Cluster();
    const a = await nodeWithSecrets(cluster);
    const { token } = await a.api.invite({ expiresMs: 3_600_000 });
    const invitation = decodeToken(token);
    const otherSecret = Uint8Array.from(invitation.secret);
    otherSecret[0]! ^= 1;

    await using unknown = await Stranger.at(cluster, a);
    unknown.join(encodeToken({ ...invitation, secret: otherSecret }));
    expect(await unknown.shown()).toEqual(['refuse NOT_INVITED']);

    await using guessing = await Stranger.at(cluster, a);
    guessing.join(token, { proof: new Uint8Array(32) });
    expect(await guessing.shown()).toEqual(['refuse NOT_INVITED']);

    // The proof of another connection, as a listener in the middle would have it.
    await using first = await Stranger.at(cluster, a);
    await using second = await Stranger.at(cluster, a);
    second.join(token, { proof: joinProof(invitation.secret, first.channel.exporter(), second.nodeId, invitation.inviterId) });
    expect(await second.shown()).toEqual(['refuse NOT_INVITED']);

    await using forAnother = await Stranger.at(cluster, a);
    const identity = await loadIdentity(cluster.path('another'));
    forAnother.join(token, { nodeId: identity.nodeId, publicKey: identity.publicKey });
    expect((await forAnother.shown()).every((told) => told.startsWith('refuse '))).toBe(true);

    const short = await a.api.invite({ expiresMs: 1 });
    await sleep(20);
    await using late = await Stranger.at(cluster, a);
    late.join(short.token);
    expect(await late.shown()).toEqual(['refuse TOKEN_EXPIRED']);
    expect(a.api.status().peers).toEqual([]);

    // The right one gets in, which shows that the others failed for their reasons.
    await using right = await Stranger.at(cluster, a);
    right.join(token);
    await until(
      'it is greeted',
      () => right.heard.some((message) => message.type === 'hello'),
      () => right.heard,
    );
  });
});

async function heardBy(socket: Socket, question: string): Promise<string> {
  let heard = '';
  socket.on('data', (data) => (heard += data.toString('latin1')));
  socket.on('error', () => {});
  socket.write(question);
  await new Promise<void>((resolve) => socket.once('close', () => resolve()));
  return heard;
}

describe('joining', () => {
  test('one token lets several hosts in until it expires', async () => {
    await using cluster = new Cluster();
    const a = await nodeWithSecrets(cluster);
    const { token, joinLine } = await a.api.invite({ expiresMs: 3_600_000 });
    const join = [addressOf(a)];
    expect(joinLine).toContain(`--join ${join[0]!.host}:${join[0]!.port} --token ${token}`);
    const b = await cluster.start('b', { join, token });
    const c = await cluster.start('c', { join, token });
    await expectSame(a, b, c);
    expect(a.api.status().peers).toHaveLength(2);
  });

  test('a joined host comes back without the token, and with the same command', async () => {
    await using cluster = new Cluster();
    const a = await nodeWithSecrets(cluster);
    const { token } = await a.api.invite({ expiresMs: 3_600_000 });
    const join = [addressOf(a)];
    const b = await cluster.start('b', { join, token });
    await converged(a, b);
    await cluster.stop(b);
    const plain = await cluster.start('b');
    await converged(a, plain);
    await cluster.stop(plain);
    const same = await cluster.start('b', { join, token });
    await converged(a, same);
    expect(same.id).toBe(b.id);
    expect(a.api.status().peers).toHaveLength(1);
    await cluster.stop(same);
    const without = await cluster.start('b', { join });
    await converged(a, without);
  });

  test('the same command works when the token has expired since', async () => {
    await using cluster = new Cluster();
    const a = await nodeWithSecrets(cluster);
    const { token } = await a.api.invite({ expiresMs: 4_000 });
    const expires = decodeToken(token).expiresMs;
    const join = [addressOf(a)];
    const b = await cluster.start('b', { join, token });
    await converged(a, b);
    await cluster.stop(b);
    await until('it has expired', () => Date.now() > expires);
    await converged(a, await cluster.start('b', { join, token }));
    expect(await codeOf(cluster.start('c', { join, token }))).toBe('TOKEN_EXPIRED');
  });

  test('a host that joins before the inviter is up gets in when it is', async () => {
    await using cluster = new Cluster();
    const a = await nodeWithSecrets(cluster);
    const { token } = await a.api.invite({ expiresMs: 3_600_000 });
    const address = sameAddress(a);
    await cluster.stop(a);
    const b = await cluster.start('b', { join: [address.listen!], token });
    await until(
      'the failure is told',
      () => b.api.status().errors.some(({ code }) => code === 'PEER_UNREACHABLE'),
      () => b.api.status(),
    );
    const again = await cluster.start('a', address);
    await expectSame(again, b);
  });

  test('no token, a broken token, a token of another share or for another host', async () => {
    await using cluster = new Cluster();
    const a = await nodeWithSecrets(cluster);
    const join = [addressOf(a)];
    expect(await codeOf(cluster.start('b', { join }))).toBe('NOT_INVITED');
    const { token } = await a.api.invite({ expiresMs: 3_600_000 });
    expect(await codeOf(cluster.start('b', { join, token: token.slice(0, -3) }))).toBe('BAD_TOKEN');
    expect(await codeOf(cluster.start('b', { join, token: `sr1${'A'.repeat(token.length - 3)}` }))).toBe('BAD_TOKEN');
    // A token of `other` at the address of `a`: the key there is not the inviter's.
    const other = await cluster.start('other');
    const foreign = await other.api.invite({ expiresMs: 3_600_000 });
    const wrong = await cluster.start('c', { join, token: foreign.token });
    await until(
      'the mismatch is told',
      () => wrong.api.status().errors.some(({ code }) => code === 'WRONG_PEER'),
      () => wrong.api.status(),
    );
    expect(readdirSync(wrong.folder)).toEqual(['.sameroot']);
    expect(a.api.status().peers).toEqual([]);
  });

  test('a host of one share that is told to join another stays what it is, and says so', async () => {
    await using cluster = new Cluster();
    const a = await nodeWithSecrets(cluster);
    cluster.write('b', 'mine.txt', 'mine');
    const first = await cluster.start('b');
    await first.api.scan();
    const { shareId } = first.api.status();
    await cluster.stop(first);
    const { token } = await a.api.invite({ expiresMs: 3_600_000 });
    expect(await codeOf(cluster.start('b', { join: [addressOf(a)], token }))).toBe('SHARE_MISMATCH');
    // Without the token it is a stranger there, and the other way round.
    const b = await cluster.start('b', { join: [addressOf(a)] });
    await until(
      'the mismatch is told',
      () => b.api.status().errors.some(({ code }) => code === 'WRONG_PEER'),
      () => b.api.status(),
    );
    expect(b.api.status().shareId).toBe(shareId);
    expect(existsSync(cluster.path('b', SECRET_WORDS[0]!))).toBe(false);
    expect(existsSync(cluster.path('a', 'mine.txt'))).toBe(false);
    expect(connections(a.api.status())).toBe(0);
  });

  test('plain text on loopback, with --insecure on both sides', async () => {
    await using cluster = new Cluster();
    cluster.write('a', 'x', 'x');
    const a = await cluster.start('a', { insecure: true });
    const b = await cluster.start('b', { insecure: true, join: [addressOf(a)] });
    await expectSame(a, b);
    cluster.write('b', 'y', 'y');
    await expectSame(a, b);
    expect(await codeOf(cluster.start('c', { insecure: true, listen: { host: '0.0.0.0', port: 0 } }))).toBe('INSECURE_ADDRESS');
    // One that speaks TLS and one that does not do not meet.
    const { token } = await a.api.invite({ expiresMs: 3_600_000 });
    const c = await cluster.start('c', { join: [addressOf(a)], token });
    await until(
      'the failure is told',
      () => c.api.status().errors.length > 0,
      () => c.api.status(),
    );
    expect(existsSync(cluster.path('c', 'x'))).toBe(false);
  });
});
