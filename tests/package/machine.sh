# A Debian that boots with systemd in qemu, without acceleration. Sourced by ./run
# after ./debian.sh. Each boot begins with the same clean disk.
#
#   guest_image          makes the disk, once
#   guest_boot           boots it; $share is then /mnt there, read-only
#   guest COMMAND        runs a line of shell there as root: what it says, its exit code
#   guest_until COMMAND  the same again and again until it succeeds, at most GUEST_PATIENCE_S
#   guest_reboot         stops it and boots the same disk again
#   guest_stop

guest_folder=$package_work/guest
share=$scratch/share
mkdir -p "$share"
guest_pid=
GUEST_PATIENCE_S=${GUEST_PATIENCE_S:-300}

guest_image() {
    local packages=systemd-sysv,systemd-timesyncd,udev,dbus,kmod,procps,zstd,initramfs-tools,linux-image-amd64
    local tpm
    [ -e "$guest_folder/root.ext4" ] && return
    say "making a disk with Debian $codename (some minutes)"
    # What systemd loads when it is to use a TPM.
    apt-get -qq update || die "cannot read Debian's lists of packages"
    tpm=$(apt-cache search --names-only '^libtss2-(esys|mu|rc|tcti-device)' | cut -d' ' -f1 | paste -sd,)
    local root=$scratch/root
    env -u APT_CONFIG mmdebstrap --quiet --variant=minbase --include="$packages,$tpm" \
        --customize-hook='chroot "$1" systemctl enable systemd-networkd' "$codename" "$root" \
        "deb [signed-by=$keyring] http://deb.debian.org/debian $codename main" >&2 ||
        die "Debian $codename cannot be unpacked"
    install -m 0755 tests/package/guest/agent "$root/opt/agent"
    install -m 0644 tests/package/guest/agent.service "$root/etc/systemd/system/"
    ln -s /etc/systemd/system/agent.service "$root/etc/systemd/system/multi-user.target.wants/"
    cat >"$root/etc/fstab" <<FSTAB
/dev/vda / ext4 defaults 0 1
host /mnt 9p ro,trans=virtio,nofail 0 0
FSTAB
    printf '[Match]\nType=ether\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n' \
        >"$root/etc/systemd/network/host.network"
    mkdir -p "$guest_folder"
    cp "$root"/boot/vmlinuz-* "$guest_folder/vmlinuz"
    cp "$root"/boot/initrd.img-* "$guest_folder/initrd"
    mke2fs -q -t ext4 -d "$root" "$scratch/root.ext4" 3G
    rm -rf "$root"
    mv "$scratch/root.ext4" "$guest_folder/root.ext4"
}

guest_boot() {
    say "booting Debian $codename in qemu"
    mkfifo "$scratch/agent.in" "$scratch/agent.out"
    exec 7<>"$scratch/agent.in" 8<>"$scratch/agent.out"
    local tpm=()
    if [ -n "${guest_tpm-}" ]; then
        tpm=(-chardev "socket,id=tpm,path=$guest_tpm" -tpmdev emulator,id=tpm0,chardev=tpm
            -device tpm-tis,tpmdev=tpm0)
    fi
    # ttyS0 is the console, ttyS1 a serial port on which nobody speaks. On a busy host the
    # kernel would find that its timer does not work.
    qemu-system-x86_64 -M q35 -accel tcg,thread=multi,tb-size=512 -cpu max -smp 2 -m 1024 \
        -display none -monitor none -serial "file:$scratch/console" -serial null \
        -kernel "$guest_folder/vmlinuz" -initrd "$guest_folder/initrd" \
        -append 'root=/dev/vda rw console=ttyS0 quiet no_timer_check panic=-1' \
        -drive "file=$guest_folder/root.ext4,format=raw,if=virtio,snapshot=on" \
        -virtfs "local,path=$share,mount_tag=host,security_model=none,readonly=on" \
        -nic user,model=virtio-net-pci \
        -device virtio-serial-pci -chardev "pipe,id=agent,path=$scratch/agent" \
        -device virtserialport,chardev=agent,name=host "${tpm[@]}" </dev/null >"$scratch/qemu" 2>&1 &
    guest_pid=$!
    # The shell need not tell of its end.
    disown
    guest_ready
}

# Waits until the guest has come up.
guest_ready() {
    guest_answer >/dev/null ||
        { cat "$scratch/qemu" >&2; tail -n 20 "$scratch/console" >&2; die "the guest does not answer"; }
}

guest() {
    { base64 -w 0 <<<"$1"; echo; } >&7
    guest_answer
}

guest_answer() {
    local code said
    IFS=' ' read -r -t "$GUEST_PATIENCE_S" -u 8 code said || return 255
    base64 -d <<<"$said"
    return "$code"
}

guest_until() {
    local end=$((SECONDS + GUEST_PATIENCE_S))
    until guest "$1" >/dev/null; do
        [ "$SECONDS" -lt "$end" ] || return 1
        guest 'sleep 1'
    done
}

guest_reboot() {
    guest 'systemctl --no-block reboot'
    guest_ready
}

guest_stop() {
    # A guest has nothing to save.
    if [ -n "$guest_pid" ]; then kill -KILL "$guest_pid" 2>/dev/null || true; fi
    guest_pid=
}
