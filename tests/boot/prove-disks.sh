#!/bin/sh
# Process 1 of a guest whose root disk is an image of ours over NBD. Says what it sees on the console, then turns it off.
# vda: the root, copy on write; vdb: the plain image; vdc: the image as a vhost-user-blk device; by network: an NBD server.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
say() { echo "proof: $*"; }
same() { if cmp "$2" /dev/vdb; then say "$1 equals the plain image"; else say "$1 is another"; fi; }

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
say "root is $(sed -n 's,^\([^ ]*\) / \([^ ]*\) .*,\1 \2,p' /proc/mounts | tail -n 1)"
say "os-release begins"
cat /etc/os-release
say "os-release ends"

echo "written in the guest" > /root/note
sync
echo 3 > /proc/sys/vm/drop_caches
say "read back: $(cat /root/note)"

same "vhost-user-blk" /dev/vdc

for module in virtio_net nbd; do modprobe $module || say "no module $module"; done
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
nbd-client 10.0.2.2 "$(sed -n 's/.*lambdad\.nbd=\([0-9]*\).*/\1/p' /proc/cmdline)" /dev/nbd0 -readonly -timeout 60
echo 4096 > /sys/block/nbd0/queue/read_ahead_kb
say "kernel NBD is read-only: $(cat /sys/block/nbd0/ro)"
same "kernel NBD" /dev/nbd0
mkdir /tmp/disk
mount -t ext4 -o ro,noload /dev/nbd0 /tmp/disk
if diff -r --no-dereference /tmp/disk/etc /etc; then say "/etc is the same through both"; fi
umount /tmp/disk
nbd-client -d /dev/nbd0
say "done"
sync
echo o > /proc/sysrq-trigger
while :; do sleep 1; done
