import { sampleDraft, sampleTemplate } from '@ephemera/test-support';
import type { Instance } from '@ephemera/domain';
import { expect, test } from 'vitest';
import {
  helperLabels,
  imageOf,
  instanceOf,
  LABEL,
  labelsOf,
  NO_COMPOSE_LABELS,
  pooledOf,
} from './labels.ts';

const template = sampleTemplate({ env: { SECRET: 'hidden-in-the-template' } });
const instance: Instance = {
  ...sampleDraft({ template, env: { SECRET: 'hidden-in-the-instance' } }),
  token: 'hidden-token-of-the-instance',
  generation: 7,
  supersedes: undefined,
  state: 'starting',
  reason: undefined,
  message: undefined,
  lastTransitionAt: 1,
  host: 'host-a',
  address: undefined,
  createdAt: 1,
  startedAt: undefined,
  activeAt: undefined,
  expiresAt: 30_000,
  maxExpiresAt: 90_000,
};

// Docker events and container metrics contain all labels.
test('labels contain no secret, but enough to restore the instance', () => {
  const labels = labelsOf('ephemera', 'host-a', instance, 'sha256:1');
  expect(JSON.stringify(labels)).not.toContain('hidden');
  const seen = { address: '10.231.1.1', startedAt: 5, paused: false, now: 9 };
  const recalled = instanceOf({ labels, name: 'ephemera-x-7' }, seen);
  expect(recalled).toMatchObject({ id: instance.id, generation: 7, env: {}, host: 'host-a' });
  // The last use is lost. If the start counted as the last use, the instance could end immediately.
  expect(recalled).toMatchObject({ startedAt: 5, activeAt: 9 });
  expect(recalled?.template).toEqual({ ...template, env: {} });
  expect(imageOf(labels)).toEqual({ name: template.image, id: 'sha256:1' });
});

// A container inherits the labels of its image, whose author may know the names of these labels.
test('every label is set explicitly, so that an image cannot set it', () => {
  const own = { ...template, labels: { team: 'core', [LABEL.role]: 'firewall' } };
  const { team, ...labels } = labelsOf(
    'ephemera',
    'host-a',
    { ...instance, template: own },
    'sha256:1',
  );
  expect(team).toBe('core');
  const all = [...Object.values(LABEL), ...Object.keys(NO_COMPOSE_LABELS)].sort();
  expect(Object.keys(labels).sort()).toEqual(all);
  expect(Object.keys(helperLabels('ephemera', 'firewall')).sort()).toEqual(all);
  expect(labels[LABEL.role]).toBe('instance');
  expect(pooledOf({ labels, name: 'ephemera-x-7' })).toBeUndefined();
});
