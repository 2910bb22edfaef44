#!/bin/busybox sh
# The guest's first process: loads what the root disk needs, then hands over to guest-init.sh on it, or to what
# lambdad.init= of the kernel's command line names.
/bin/busybox mkdir -p /proc /dev /newroot
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs devtmpfs /dev
for module in $(/bin/busybox cat /modules/order); do
    /bin/busybox insmod "/modules/$module.ko" || echo "cannot load $module"
done
if /bin/busybox grep -q lambdad.probe /proc/cmdline; then
    echo "guest is up"
    /bin/busybox poweroff -f
fi
# The disk appears a moment after its driver.
tries=0
until [ -b /dev/vda ] || [ $tries -ge 200 ]; do tries=$((tries + 1)); /bin/busybox usleep 20000; done
/bin/busybox mount -t ext4 -o rw,noatime /dev/vda /newroot || /bin/busybox poweroff -f
init=$(/bin/busybox sed -n 's/.*lambdad\.init=\([^ ]*\).*/\1/p' /proc/cmdline)
exec /bin/busybox switch_root /newroot "${init:-/usr/local/sbin/guest-init}"
