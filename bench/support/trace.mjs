/**
 * Round trips from what was sent and received. The hops of a message are one more than the most hops of any message
 * that its sender had received before on that connection; messages of one direction arrive in order. Two hops are a
 * round trip.
 */

/** `a` and `b`: the two ends of one connection, as `node-process` traced them. Up to `untilMs`. */
export function countHops(a, b, untilMs = Infinity) {
  const events = [...a.messages.map((message) => ({ ...message, end: 0 })), ...b.messages.map((message) => ({ ...message, end: 1 }))]
    .filter(({ atMs }) => atMs <= untilMs)
    .sort((left, right) => left.atMs - right.atMs || Number(right.sent) - Number(left.sent));
  /** Hops of the messages under way to each end, oldest first. */
  const underWay = [[], []];
  const heard = [0, 0];
  const types = [];
  let messages = 0;
  let bytes = 0;
  let hops = 0;
  for (const event of events) {
    if (event.sent) {
      const own = heard[event.end] + 1;
      underWay[1 - event.end].push(own);
      messages++;
      bytes += event.bytes;
      types.push(`${event.end === 0 ? '>' : '<'}${event.type}:${event.bytes}`);
    } else {
      const arrived = underWay[event.end].shift();
      heard[event.end] = Math.max(heard[event.end], arrived);
      hops = Math.max(hops, arrived);
    }
  }
  return { messages, bytes, hops, roundTrips: hops / 2, types };
}

/** The connections of two nodes' traces, end beside end. */
export function pairChannels(a, b) {
  return a.flatMap((one) => {
    const other = b.find(({ exporter }) => exporter === one.exporter);
    return other === undefined ? [] : [[one, other]];
  });
}
