/** Buffers that the running job gives away with its answer. One job runs at a time, so one list is enough. */
let pending: ArrayBuffer[] = [];

export function giveAway(buffer: ArrayBuffer): void {
  pending.push(buffer);
}

export function takeTransfer(): ArrayBuffer[] {
  const list = pending;
  pending = [];
  return list;
}
