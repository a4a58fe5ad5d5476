import type { CreateRequest } from './create-request.ts';
import type { EventResource } from './event-resource.ts';
import type { ExecRequestBody, ExecResource } from './exec-resource.ts';
import type { FileListResource, MoveFileRequest } from './file-resource.ts';
import type { HostResource } from './host-resource.ts';
import type { InstanceResource, RenewedResource } from './instance-resource.ts';
import type { LinkRequest, LinkResource } from './link-request.ts';
import type { UsageResource } from './logs-query.ts';
import type { NameResource, PutNameRequest } from './name-resource.ts';
import type { Problem } from './problem.ts';
import type { RenewRequest } from './renew-request.ts';
import type { StatsResource, TemplateResource } from './template-resource.ts';

/** An id of the form of `newId`. */
export const EXAMPLE_ID = 'ak3v9q0x7m2c5t8w1z4b6n0s2d';

/** An id of a command. */
const EXAMPLE_EXEC_ID = `0f3a5c7e9b1d2f4a6c8e0b2d4f${EXAMPLE_ID}`;

const instance = {
  id: EXAMPLE_ID,
  template: 'demo',
  status: { state: 'ready', lastTransitionAt: '2026-01-01T00:00:02.000Z' },
  url: `http://localhost:8080/demo/${EXAMPLE_ID}/`,
  baseUrl: `http://localhost:8080/demo/${EXAMPLE_ID}/`,
  ports: { http: { port: 80, url: `http://localhost:8080/demo/${EXAMPLE_ID}/` } },
  timeout: 600,
  createdAt: '2026-01-01T00:00:00.000Z',
  startedAt: '2026-01-01T00:00:02.000Z',
  expiresAt: '2026-01-01T00:10:02.000Z',
  maxExpiresAt: '2026-01-01T01:00:00.000Z',
  metadata: { owner: 'ada' },
} satisfies InstanceResource;

const name = {
  name: 'pr-42',
  generation: 17_672_256_000_000,
  instance,
  createdAt: '2026-01-01T00:00:00.000Z',
  updatedAt: '2026-01-01T00:00:00.000Z',
  expiresAt: '2026-01-31T00:00:00.000Z',
} satisfies NameResource;

const host = {
  name: 'host-1',
  alive: true,
  lastSeenAt: '2026-01-01T00:00:00.000Z',
  networks: ['10.231.0.0/16'],
  instances: 3,
  capacity: { instances: 50 },
  used: { instances: 3, memory: 805_306_368, cpus: 1.5 },
} satisfies HostResource;

const template = {
  name: 'demo',
  isDefault: true,
  port: 80,
  ports: { http: 80 },
  timeout: 600,
  maxTimeout: 3600,
  limits: { memory: 268_435_456, cpus: 0.5, pids: 128 },
  instances: 3,
  queued: 0,
  whenFull: 'queue',
  isFull: false,
  pool: { size: 1, warm: 1 },
} satisfies TemplateResource;

/**
 * One example for each schema of the OpenAPI document, by the name of its component. Tests check
 * each against its schema.
 */
export const EXAMPLES: Readonly<Record<string, unknown>> = {
  CreateInstance: {
    template: 'demo',
    timeout: 600,
    metadata: { owner: 'ada' },
  } satisfies CreateRequest,
  Instance: instance,
  InstanceDetail: instance,
  CreatedInstance: instance,
  PutName: { template: 'demo', timeout: 86_400, drain: 30 } satisfies PutNameRequest,
  NamedInstance: { ...instance, name: 'pr-42', generation: 17_672_256_000_000, isCurrent: true },
  Name: name,
  NamePage: { items: [name] },
  InstancePage: { items: [instance] },
  RenewInstance: { timeout: 900 } satisfies RenewRequest,
  RenewedInstance: {
    ...instance,
    expiresAt: '2026-01-01T00:20:00.000Z',
    renewal: {
      outcome: 'extended',
      previousExpiresAt: '2026-01-01T00:10:02.000Z',
      isAtMaximum: false,
    },
  } satisfies RenewedResource,
  Usage: {
    readAt: '2026-01-01T00:05:00.000Z',
    cpuSeconds: 1.25,
    memory: { used: 31_457_280, limit: 268_435_456 },
    pids: 4,
    network: { received: 12_480, sent: 98_304 },
  } satisfies UsageResource,
  RunCommand: {
    cmd: ['python3', '-c', 'print(6 * 7)'],
    timeout: 30,
  } satisfies ExecRequestBody,
  Command: {
    execId: EXAMPLE_EXEC_ID,
    state: 'exited',
    exitCode: 0,
    stdout: { offset: 0, data: '42\n', total: 3 },
    stderr: { offset: 0, data: '', total: 0 },
  } satisfies ExecResource,
  CommandEvent: { offset: 0, data: 'NDIK' },
  CommandInput: { dataBase64: 'NDIK', end: true },
  FileList: {
    items: [
      {
        name: 'main.py',
        type: 'file',
        size: 42,
        mode: '0644',
        modifiedAt: '2026-01-01T00:00:02.000Z',
      },
    ],
    isTruncated: false,
  } satisfies FileListResource,
  MoveFile: { from: '/data/a.txt', to: '/data/b.txt' } satisfies MoveFileRequest,
  KillCommand: { signal: 'TERM' },
  ResizeCommand: { columns: 120, rows: 40 },
  Event: {
    seq: '1767225602000-0',
    type: 'ready',
    time: '2026-01-01T00:00:02.000Z',
    id: EXAMPLE_ID,
    template: 'demo',
    state: 'ready',
    generation: 3,
    expiresAt: '2026-01-01T00:10:02.000Z',
    metadata: { owner: 'ada' },
  } satisfies EventResource,
  TemplateList: { items: [template] },
  Stats: { instances: 3, available: 47, capacity: 50 } satisfies StatsResource,
  Host: host,
  HostList: { items: [host] },
  DrainHost: { timeout: 1800 },
  CreateLink: { template: 'demo', uses: 30, validFor: 86_400 } satisfies LinkRequest,
  Link: {
    id: 'p7h2x4',
    url: 'http://localhost:8080/demo/new?link=eyJ0IjoiZGVtbyJ9.c2lnbmF0dXJl',
    template: 'demo',
    uses: 30,
    expiresAt: '2026-01-02T00:00:00.000Z',
  } satisfies LinkResource,
  Health: { status: 'ok' },
  Readiness: {
    ready: true,
    parts: { routes: true, worker: true, running: true },
    config: { isCurrent: true, issues: [] },
  },
  PartReadiness: { ready: true },
  Certificate: { domain: `${EXAMPLE_ID}.demos.example` },
  Problem: {
    type: 'urn:ephemera:problem:invalid',
    title: 'Invalid request',
    status: 400,
    detail: 'query parameter sort: is unknown',
    faults: [{ path: 'sort', detail: 'is unknown', in: 'query' }],
  } satisfies Problem,
};
