import * as fc from 'fast-check';
import { encode as pack } from './msgpack.ts';
import { describe, expect, it } from 'vitest';
