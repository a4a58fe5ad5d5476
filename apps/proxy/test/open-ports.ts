import { createServer } from 'node:http';
import type { RequestListener } from 'node:http';
import { sampleTemplate, startRedis } from '@ephemera/testing';
import { createProducers, createRefills } from '@ephemera/queue';
import { createLogger, createMetrics, createTokens, listen, sharesSchema } from '@ephemera/runtime';
import * as store from '@ephemera/store';
