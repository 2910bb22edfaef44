#!/bin/sh
# Process 1 of the guest, on its root disk: a machine as users have it (cgroup v2 alone, all controllers), then the
# tests, then off. Second disk: the project; the results are left on it for the host to read.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb
mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620 devpts /dev/pts
mount -t tmpfs -o nosuid,nodev tmpfs /dev/shm
mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs /run
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs /tmp
mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
echo "+cpu +memory +pids +io +cpuset" > /sys/fs/cgroup/cgroup.subtree_control
mount --make-rshared /
ip link set lo up
hostname lambdad-guest
for module in overlay loop fuse erofs veth bridge nf_tables nbd; do modprobe $module || echo "no module $module"; done
# As under systemd: a session of its own, not the root of the cgroup tree.
mkdir /sys/fs/cgroup/session.scope
echo $$ > /sys/fs/cgroup/session.scope/cgroup.procs
# While one group has a quota, the scheduler's code for quotas is patched in and stays so: see machine.py.
mkdir /sys/fs/cgroup/quota.scope
echo "100000 100000" > /sys/fs/cgroup/quota.scope/cpu.max
mkdir -p /lambdad
mount -t ext4 /dev/vdb /lambdad
cd /lambdad || exec poweroff -f
mkfifo /run/tests
python3 -m tests.vm.guest_watch /run/tests &
watch=$!
LAMBDAD_TEST_WATCH=/run/tests LAMBDAD_TEST_REPORT=/lambdad/results/report.json \
    xargs -a results/arguments python3 -m pytest -p tests.vm.guest_watch < /dev/null
echo $? > results/exit
kill $watch 2> /dev/null
wait $watch
cd /
umount /lambdad || { echo "the project's disk is still busy"; sync; }
sync
echo o > /proc/sysrq-trigger
while :; do sleep 1; done
