#!/bin/sh
# build-layer.sh LOWER UPPER WORK TOOLS COMMAND...: runs a command in a root of the directories LOWER (a:b:c, the top first);
# what it changes is in UPPER afterwards. Run it in a mount namespace of its own: nothing is unmounted here.
set -eu
lower=$1 upper=$2 work=$3 tools=$4
shift 4
root=$work/root
mkdir -p "$root" "$work/work"
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$upper,workdir=$work/work,index=off,redirect_dir=off,metacopy=off" "$root"
# Tools are at /mnt, which every Debian has: the layer gets no directory for them.
mount --bind "$tools" "$root/mnt"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
for file in /etc/resolv.conf; do
    if [ -e "$root$file" ]; then mount --bind "$file" "$root$file"; fi
done
exec chroot "$root" "$@"
