# Debian's archives without a change of this system's sources: apt with a
# configuration of its own in target/package, and Rust for other architectures, only
# unpacked there. Sourced by the scripts beside it.

package_work=$PWD/target/package

say() { printf -- '-- %s\n' "$*" >&2; }
die() { printf '%s: %s\n' "$0" "$*" >&2; exit 1; }

codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -n "$codename" ] && [ -e "$keyring" ] || die "needs Debian (and its debian-archive-keyring)"
export DEBIAN_FRONTEND=noninteractive

# apt that knows one architecture beside this machine's own.
apt_for() {
    local arch=$1 apt=$package_work/apt-$1 archive archives
    mkdir -p "$apt"/{lists/partial,archives/partial,parts}
    archives=("debian $codename" "debian $codename-backports")
    # Rust in the security archive is newer, but not built for armhf.
    if [ "$arch" != armhf ]; then archives+=("debian-security $codename-security"); fi
    for archive in "${archives[@]}"; do
        echo "deb [signed-by=$keyring] http://deb.debian.org/$archive main"
    done >"$apt/sources.list"
    cat >"$apt/apt.conf" <<CONF
APT::Architectures { "amd64"; "$arch"; };
APT::Sandbox::User "root";
DPkg::Lock::Timeout "300";
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "$apt/parts";
Dir::State::Lists "$apt/lists";
Dir::Cache "$apt";
CONF
    export APT_CONFIG=$apt/apt.conf
}

# Installs what is missing: pairs of a file and the package that brings it.
needed() {
    local missing=()
    while [ $# -gt 0 ]; do
        [ -e "$1" ] || missing+=("$2")
        shift 2
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    apt-get -qq update || die "cannot read Debian's lists of packages"
    say "installing ${missing[*]} (qemu from $codename-backports)"
    apt-get install -y -qq --no-install-recommends -t "$codename-backports" "${missing[@]}" >&2 ||
        die "install these packages: ${missing[*]}"
}

# What a package depends on and is called so: versions stand in these names.
dependency() { apt-cache depends "$1" | sed -n "s/^ *Depends: \($2.*\)/\1/p" | head -n 1; }

# A rustc of Debian's that has the standard library of one architecture.
rust_for() {
    local arch=$1 root=$package_work/rust-$1 version std llvm scratch package
    if [ ! -e "$root" ]; then
        apt-get -qq update || die "cannot read Debian's lists of packages"
        version=$(apt-cache policy "libstd-rust-web-dev:$arch" | sed -n 's/^ *Candidate: //p')
        [ -n "$version" ] || die "Debian $codename has no libstd-rust-web-dev for $arch"
        std=$(dependency "libstd-rust-web-dev:$arch" libstd-rust-web-)
        llvm=$(dependency "${std%:*}" libllvm)
        scratch=$(mktemp -d)
        say "unpacking Rust $version with its library for $arch in target/package"
        (cd "$scratch" && apt-get -qq download "rustc-web=$version" "${std%:*}=$version" "$llvm" \
            "libstd-rust-web-dev=$version" "libstd-rust-web-dev:$arch=$version" >&2) ||
            die "Debian $codename does not have all of Rust $version"
        mkdir "$scratch/root"
        for package in "$scratch"/*.deb; do dpkg -x "$package" "$scratch/root"; done
        mv "$scratch/root" "$root"
        rm -rf "$scratch"
    fi
    cat >"$package_work/rustc-$arch" <<RUSTC
#!/bin/sh
LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu exec $root/usr/bin/rustc "\$@"
RUSTC
    chmod +x "$package_work/rustc-$arch"
    export RUSTC=$package_work/rustc-$arch
}

# cargo-deb, built once if this machine has none.
cargo_deb() {
    PATH=$PATH:$package_work/tools/bin
    command -v cargo-deb >/dev/null && return
    say "building cargo-deb in target/package"
    cargo install --quiet --locked --root "$package_work/tools" cargo-deb ||
        die "cargo-deb cannot be built: cargo install cargo-deb --locked"
}

# Builds a package, shows what is said of it, and says where it is.
build_package() {
    local said
    said=$(systemd/deb/build "$@") || die "systemd/deb/build $* failed"
    printf '%s\n' "$said" >&2
    tail -n 1 <<<"$said"
}
