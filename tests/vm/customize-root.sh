#!/bin/sh
# mmdebstrap's last hook: $1 is the new root; the rest comes by environment. Packs the root disk, takes the kernel out.
set -eu
root=$1
chroot "$root" python3 -m compileall -q /usr/local/lib/python3.11/dist-packages > /dev/null || true
# The kernel and busybox as files, without installing them: no initramfs-tools, no boot loader.
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
image=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[^ ]*\).*/\1/p')
mkdir -p "$root/var/tmp/kernel"
(cd "$root/var/tmp/kernel" && apt-get -q -o APT::Sandbox::User=root download "$image" busybox-static > /dev/null)
for package in "$root"/var/tmp/kernel/*.deb; do dpkg-deb -x "$package" "$root/var/tmp/kernel/x"; done
cp "$root"/var/tmp/kernel/x/boot/vmlinuz-* "$OUT/vmlinuz"
cp "$root/var/tmp/kernel/x/bin/busybox" "$OUT/busybox"
mkdir -p "$root/usr/lib/modules" "$OUT/modules"
mv "$root"/var/tmp/kernel/x/lib/modules/* "$root/usr/lib/modules/"
rm -r "$root/var/tmp/kernel"
version=$(ls "$root/usr/lib/modules")
chroot "$root" depmod "$version"
for module in $BOOT_MODULES; do
    find "$root/usr/lib/modules" -name "$module.ko" -exec cp {} "$OUT/modules/" \;
    test -e "$OUT/modules/$module.ko"
done
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* "$root"/usr/share/locale/*
truncate -s "$DISK_SIZE" "$OUT/root.ext4"
# Bound alone somewhere else, the tree shows without the /proc, /sys and /dev that mmdebstrap keeps mounted in it.
# The tar is a small Debian for tests that make images of their own: of all modules only what reaches a disk, and neither
# Perl nor Python.
unshare --mount sh -ec '
    mount --bind "$1" /mnt
    mke2fs -q -F -t ext4 -O ^has_journal -m 0 -E root_owner=0:0 -d /mnt "$2/root.ext4"
    cd /mnt
    find . -path "./dev/*" -prune -o -path "./usr/local/*" -prune -o -path "./usr/share/man" -prune -o \
        -path "./usr/lib/x86_64-linux-gnu/perl" -prune -o -path "./usr/share/perl" -prune -o \
        -path "./usr/lib/python3*" -prune -o \
        -name "*.ko" ! -name nbd.ko ! -name "virtio*" ! -name "*failover.ko" -o -print0 |
        sort -z | tar --create --file "$2/debian.tar" --numeric-owner --no-recursion --null --files-from -
' sh "$root" "$OUT"
