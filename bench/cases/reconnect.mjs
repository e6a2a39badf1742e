/** Two hosts meet again and nothing has changed. */
import { MIB, nowMs } from '../support/common.mjs';
import { countHops, pairChannels } from '../support/trace.mjs';
import { quiet } from '../support/workspace.mjs';

export const bench = {
  name: 'reconnect',
  about: '100,000 entries, nothing changed, one of two nodes restarted, until both know that they are in sync',
  runs: 3,
  async measure({ size, workspace, figures, detail }) {
    const count = size(100_000, 5_000);
    const space = workspace(1_000 * MIB);
    try {
      const source = await space.startNode(space.makeFolder('source'), { trace: true });
      await source.call('putRecords', { prefix: 'sample/', from: 0, count, group: 1_000, valueBytes: 32 });
      const folder = space.makeFolder('target');
      const invitation = await source.invitation();
      const first = await space.startNode(folder, invitation);
      await source.waitForPeers(1);
      await quiet([source, first]);
      // With another port its member record would change, and that is a change.
      const listen = await first.address();
      await first.end();
      const known = (await source.call('trace')).length;
      const second = await space.spawn({ trace: true });
      await second.start(folder, { listen, join: invitation.join });
      await Promise.all([source.call('untilInSync'), second.call('untilInSync')]);
      const inSyncMs = nowMs();
      await quiet([source, second]);
      const pairs = pairChannels((await source.call('trace')).slice(known), await second.call('trace'));
      const [pair] = pairs.filter(([{ messages }]) => messages.length > 0);
      const until = countHops(...pair, inSyncMs);
      const all = pairs.map(([a, b]) => countHops(a, b));
      figures.add('round trips until in sync', '', until.roundTrips, { floor: 1, better: 'lower' });
      figures.add('messages until in sync', '', until.messages, { better: 'lower' });
      const bytes = all.reduce((sum, one) => sum + one.bytes, 0);
      figures.add('application bytes, until silent', 'bytes', bytes, { floor: 2_048, better: 'lower' });
      const wire = pairs.reduce((sum, [{ wireBytes }]) => sum + wireBytes, 0);
      figures.add('TLS and WebSocket bytes beside them', 'bytes', wire - bytes, { better: 'lower' });
      figures.add('start of the node to in sync', 'ms', inSyncMs - second.startedMs, { better: 'lower' });
      detail({ connections: pairs.length, entries: (await source.call('status')).entries, all });
    } finally {
      await space.close();
    }
  },
};
