import { afterAll, beforeAll, expect, test } from 'vitest';
import { assignedInstance, openDocker } from './docker-fixture.ts';
import type { DockerFixture } from './docker-fixture.ts';
import { execInside } from './exec-inside.ts';

// Escape attempts of an attacker with a shell in an instance, with the commands of busybox.

const SLEEP = ['/bin/sh', '-c', 'while :; do sleep 1; done'];
let fixture: DockerFixture;
let containerId: string;

beforeAll(async () => {
  fixture = await openDocker();
  containerId = (await fixture.start(assignedInstance({ command: SLEEP }))).containerId;
});
afterAll(() => fixture.close());

const succeeds = async (line: string): Promise<boolean> =>
  (await execInside(fixture.docker, containerId, line)).code === 0;

test.each([
  ['write below /proc/sys', 'echo 1 > /proc/sys/net/ipv4/ip_forward'],
  ['set the kernel’s core dump handler', 'echo "|/tmp/x" > /proc/sys/kernel/core_pattern'],
  ['trigger SysRq', 'echo b > /proc/sysrq-trigger'],
  ['write to a cgroup', 'echo $$ > /sys/fs/cgroup/memory/release_agent'],
  ['raise its memory', 'echo -1 > /sys/fs/cgroup/memory/memory.limit_in_bytes'],
  ['load a module', 'insmod /tmp/x.ko || modprobe dummy'],
  ['mount a tmpfs', 'mount -t tmpfs none /tmp'],
  ['mount the host’s disk', 'mknod /tmp/disk b 254 0 || mknod /tmp/disk b 8 0'],
  ['create a device', 'mknod /tmp/mem c 1 1'],
  ['write to the root file system', 'echo x > /etc/passwd || echo x > /x || mkdir /bin/x'],
  ['remount the root writable', 'mount -o remount,rw /'],
  ['execute a file in /tmp', 'cp /bin/busybox /tmp/b && /tmp/b true'],
  ['create a user namespace', 'unshare -U true || unshare -r true'],
  ['create a mount namespace', 'unshare -m true'],
  ['enter the namespaces of pid 1', 'nsenter -t 1 -m true'],
  ['change its root', 'chroot / true'],
  ['become root', 'su -c true || setpriv --reuid 0 true'],
  ['read the kernel’s log', 'dmesg | grep -q .'],
  ['read the kernel’s keys', 'grep -q . /proc/keys'],
  [
    'read the kernel’s memory',
    'dd if=/proc/kcore of=/dev/null count=1 bs=1 | grep . || dd if=/dev/mem count=1',
  ],
  ['see foreign processes', '[ "$(ls -d /proc/[0-9]* | wc -l)" -gt 20 ]'],
  ['see the Docker socket', 'find / -xdev -type s | grep -q docker'],
  ['set its address', 'ip address add 10.1.1.1/24 dev eth0 || ifconfig eth0 10.1.1.1'],
  ['set a route', 'ip route add 192.0.2.0/24 dev eth0'],
  ['create an interface', 'ip link add x type dummy'],
  ['send frames other than IP', 'arping -c 1 -w 1 127.0.0.1 || udhcpc -n -q -t 1 -i eth0'],
  ['enable IPv6', 'echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6'],
  ['set the clock', 'date -s 2030-01-01; [ "$(date +%Y)" = 2030 ]'],
  ['restart the host', 'reboot -f'],
  ['raise its limit of file descriptors', 'ulimit -n 1048576'],
  ['outlive the host when memory runs out', '[ "$(cat /proc/1/oom_score_adj)" -lt 500 ]'],
])('cannot %s', async (_, line) => {
  expect(await succeeds(line)).toBe(false);
});
