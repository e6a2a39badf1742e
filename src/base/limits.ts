/**
 * Everything that comes from outside has a limit, and all limits are here, with their unit in the name. How they
 * relate is asserted at load: a change that breaks a relation does not start.
 */
import { assert } from './assert.ts';

export const HASH_BYTES = 32;
export const CONTENT_ID_BYTES = 33;
export const REPLICA_ID_BYTES = 8;
/** The part of a hash that stands for it in an index of our own: a hint, what it leads to is verified. */
export const DIGEST_BYTES = 16;
/** The part of a hash that the first walk of a connection sends: a hint, in the end walks compare whole hashes, as roots are. */
export const WALK_DIGEST_BYTES_MIN = 8;

export const KIB = 1024;
export const MIB: number = 1024 * KIB;
export const GIB: number = 1024 * MIB;

/** Key in the tree: `f/` + path (PATH_MAX of Linux is 4096) or `r/` + name. */
export const KEY_BYTES_MAX: number = 4 * KIB;
export const NAME_BYTES_MAX = 255;
export const LINK_TARGET_BYTES_MAX: number = 4095;
export const RECORD_KEY_BYTES_MAX: number = KIB;
/** Record values up to this size live in the entry itself, larger ones are chunked. */
export const RECORD_INLINE_BYTES_MAX: number = 4 * KIB;
export const RECORD_BYTES_MAX: number = GIB;

/** Versions alive at one key (concurrent writers), and replicas in its context. */
export const VERSIONS_MAX = 256;
export const CONTEXT_REPLICAS_MAX: number = 4096;
export const ENTRY_BYTES_MAX: number = 2 * MIB;
/** A stable cut: so many replicas with a sequence each, and as many that agreed. */
export const CUT_BYTES_MAX: number = 128 * KIB;

export const TREE_LEVEL_MAX = 13;
/** A page has 32 items on average; its length is geometric, 4096 items are beyond any chance (31/32)^4096. */
export const PAGE_ITEMS_MAX: number = 4096;
export const PAGE_BYTES_MAX: number = 16 * MIB;

export const CHUNK_BYTES_MIN: number = 32 * KIB;
/** The least `minBytes` that a share may have: all chunks of a content but its last are as long. */
export const SHARE_CHUNK_BYTES_MIN: number = KIB;
export const CHUNK_MASK_BITS = 15;
export const CHUNK_BYTES_MAX: number = 256 * KIB;
/** A list page ends at a border of its content, but never before this many refs: 16^8 refs fit into 8 levels. */
export const LIST_PAGE_REFS_MIN = 16;
export const LIST_PAGE_REFS_MAX = 512;
export const LIST_LEVEL_MAX = 8;
/** One file or value: its bytes fit into a u48, its chunks into a u32. */
export const CONTENT_BYTES_MAX: number = 2 ** 48 - 1;
export const CONTENT_CHUNKS_MAX: number = 2 ** 32 - 1;
/** Modification times lie within 142,000 years of 1970, either way, so that their doubled distance is an exact number. */
export const MTIME_MS_MAX: number = 2 ** 52 - 1;

/** A version from a host whose clock is further ahead than this is refused. */
export const CLOCK_AHEAD_MS_MAX: number = 3_600_000;

export const MESSAGE_BYTES_MAX: number = 8 * MIB;
export const CHUNK_FRAME_BYTES_MAX: number = MIB;
/** Kept free before bytes that were read for a peer: most heads of frames fit in, and those frames are not copied. */
export const FRAME_HEAD_ROOM_BYTES = 4_096;
export const WALK_MESSAGE_BYTES_GOAL: number = 256 * KIB;
/** Messages of one side of a walk that list something and are not answered: 4 MiB under way. */
export const WALK_WINDOW_MESSAGES = 16;
/** Each of the two packed lists of a walk message. */
export const WALK_LIST_BYTES_MAX: number = MIB;
/** The keys of such a list spelled out: on the wire a few bytes may stand for a long key. */
export const WALK_LIST_KEY_BYTES_MAX: number = 8 * MIB;
export const WALK_RANGES_MAX: number = 65_536;
export const ENTRIES_MESSAGE_BYTES_GOAL: number = 256 * KIB;
export const ENTRIES_PER_MESSAGE_MAX: number = 16_384;
/** Entry bytes a sender may have under way before the receiver has committed them. */
export const ENTRIES_WINDOW_BYTES: number = 4 * MIB;
/** Chunk bytes asked of one peer and not yet written. */
export const FETCH_WINDOW_BYTES: number = 16 * MIB;
/** The same while several hosts fetch at once: what is asked of one early may come from another soon. */
export const SWARM_WINDOW_BYTES: number = 4 * MIB;
export const FETCH_ITEMS_MAX: number = 4096;
/** Runs of chunks in one message, and remembered of one peer and content. */
export const HAVE_RUNS_MAX = 1_024;
/** Pages of 512 refs, as files that are mostly zeros have, must fit into one reply. */
export const LIST_PAGES_PER_REQUEST_MAX: number = 256;
/** Requests of one peer that wait to be served. */
export const SERVE_QUEUE_MAX: number = 64;
export const PEERS_MAX = 256;
export const HELLO_MS_MAX: number = 10_000;
export const PEER_SILENCE_MS_MAX: number = 30_000;
/** Sockets a listener keeps open, strangers in their handshake included. */
export const SOCKETS_MAX: number = PEERS_MAX * 2;
export const PING_EVERY_MS: number = 10_000;
/** How long a close waits for the peer's answer. */
export const CLOSE_MS_MAX: number = 3_000;
export const HTTP_HEADER_BYTES_MAX: number = 4 * KIB;
/** WebSocket fragments of one message; we send none. */
export const FRAGMENTS_MAX = 16;
/** Socket reads one message may come in: each costs some hundred bytes beside its payload. */
export const READS_PER_MESSAGE_MAX: number = 32 * KIB;
/** `onDrain` tells when what waits to be sent went over the first and fell to the second. */
export const SEND_HIGH_WATER_BYTES: number = 4 * MIB;
export const SEND_LOW_WATER_BYTES: number = MIB;
/** A received message above this owns its ArrayBuffer; a smaller one may share it with its neighbours. */
export const SHARED_BUFFER_BYTES_MAX: number = 64 * KIB;
export const NAME_TEXT_BYTES_MAX = 255;
export const ROOT_HISTORY_COUNT = 64;

/** What one step of a store's iteration holds in memory. */
export const STORE_BATCH_ROWS_MAX = 1000;
export const STORE_BATCH_BYTES_GOAL: number = 256 * KIB;

/** Paths that are listed as not replicable; further ones are left out of the list. */
export const PROBLEMS_MAX = 10_000;
/** Paths with events that are not looked at yet; beyond it the whole folder is scanned. */
export const DIRTY_PATHS_MAX = 20_000;

assert(CONTEXT_REPLICAS_MAX * (2 * REPLICA_ID_BYTES + 8) + 8 < CUT_BYTES_MAX, 'a cut fits, with sequences of 8 bytes');
assert(CHUNK_BYTES_MIN < CHUNK_BYTES_MAX, 'chunks: min < max');
assert(2 ** CHUNK_MASK_BITS + CHUNK_BYTES_MIN < CHUNK_BYTES_MAX, 'chunks: the mean lies between min and max');
assert(LIST_PAGE_REFS_MIN ** LIST_LEVEL_MAX > CONTENT_CHUNKS_MAX, 'the deepest list holds the most chunks');
assert(LIST_PAGES_PER_REQUEST_MAX * (LIST_PAGE_REFS_MAX * 42 + 8) < MESSAGE_BYTES_MAX, 'a message holds the largest list pages');
assert(CHUNK_BYTES_MAX + KIB < CHUNK_FRAME_BYTES_MAX, 'a frame holds the largest chunk');
assert(CHUNK_FRAME_BYTES_MAX < MESSAGE_BYTES_MAX, 'a message holds a frame');
assert(WALK_LIST_BYTES_MAX * 2 + KIB < MESSAGE_BYTES_MAX, 'a message holds a walk step');
assert(WALK_MESSAGE_BYTES_GOAL + KEY_BYTES_MAX * 4 < WALK_LIST_BYTES_MAX, 'a walk step fits, and one range more');
assert(ENTRY_BYTES_MAX + KEY_BYTES_MAX + ENTRIES_MESSAGE_BYTES_GOAL < MESSAGE_BYTES_MAX, 'a message holds the largest entry');
assert(RECORD_INLINE_BYTES_MAX <= CHUNK_BYTES_MIN, 'an inline record would be one chunk');
assert(PING_EVERY_MS * 2 < PEER_SILENCE_MS_MAX, 'a silent peer was pinged more than once');
assert(SEND_LOW_WATER_BYTES < SEND_HIGH_WATER_BYTES, 'sending: low water < high water');
assert(READS_PER_MESSAGE_MAX * 256 >= MESSAGE_BYTES_MAX, 'the largest message fits in reads of 256 bytes');
