//! `check`, the medium of the store: whether it keeps what was written, and how worn it is.

use super::findings::Findings;
use crate::cli::machine::Machine;
use std::path::{Path, PathBuf};

const ABOUT: &str = "disk";
/// JEDEC eMMC: life used in steps of 10 %; 0x0b is more than all of it.
const LIFE_WORN: u32 = 0x09;
const LIFE_OVER: u32 = 0x0b;

/// A line of `/proc/self/mountinfo` (proc(5)).
#[derive(Debug)]
struct Mount {
    device: String,
    point: PathBuf,
    options: String,
    kind: String,
    source: String,
}

/// `directory`: the store's, as it is called there.
pub(super) fn examine(machine: &Machine, directory: &Path, findings: &mut Findings) {
    let mounts = mounts(machine);
    let Some(mount) = mount_of(&mounts, &where_it_leads(machine, directory)) else { return };
    let before = findings.0.len();
    judge_kind(&mounts, mount, directory, findings);
    judge_options(mount, directory, findings);
    judge_errors(machine, mount, findings);
    judge_medium(machine, mount, findings);
    if findings.0.len() == before {
        let text = format!("{} is on {} ({})", directory.display(), mount.source, mount.kind);
        findings.good(ABOUT, text);
    }
}

/// The same directory without symbolic links, which may lead to another medium; what is not
/// there yet stands as it is written.
fn where_it_leads(machine: &Machine, directory: &Path) -> PathBuf {
    let there = directory.ancestors().find_map(|around| {
        let place = machine.path(around).canonicalize().ok()?;
        Some(machine.own_name(&place).join(directory.strip_prefix(around).ok()?))
    });
    there.unwrap_or_else(|| directory.to_owned())
}

fn mounts(machine: &Machine) -> Vec<Mount> {
    machine.text("/proc/self/mountinfo").unwrap_or_default().lines().filter_map(mount).collect()
}

fn mount(line: &str) -> Option<Mount> {
    let (front, back) = line.split_once(" - ")?;
    let front: Vec<&str> = front.split(' ').collect();
    let [_, _, device, _, point, options, ..] = front[..] else { return None };
    let mut back = back.split(' ');
    let (kind, source) = (back.next()?, back.next()?);
    // Of the mount, and of the file system.
    let options = format!("{options},{}", back.next().unwrap_or_default());
    Some(Mount {
        device: device.to_owned(),
        point: PathBuf::from(point.replace("\\040", " ")),
        options,
        kind: kind.to_owned(),
        source: source.to_owned(),
    })
}

/// The mount in which a path lies; of several at one place the last.
fn mount_of<'m>(mounts: &'m [Mount], path: &Path) -> Option<&'m Mount> {
    let around = mounts.iter().filter(|mount| path.starts_with(&mount.point));
    around.max_by_key(|mount| mount.point.components().count())
}

fn is_memory(mount: &Mount) -> bool {
    matches!(mount.kind.as_str(), "tmpfs" | "ramfs")
}

fn judge_kind(mounts: &[Mount], mount: &Mount, directory: &Path, findings: &mut Findings) {
    let shown = directory.display();
    let upper = mount.options.split(',').find_map(|option| option.strip_prefix("upperdir="));
    let upper = upper.and_then(|upper| mount_of(mounts, Path::new(upper)));
    if is_memory(mount) || (mount.kind == "overlay" && upper.is_some_and(is_memory)) {
        return findings.wrong(
            ABOUT,
            format!("{shown} is in memory ({}): a power cut takes all that waits for the centre", mount.kind),
            "name a directory on a card or disk in [store]; with the overlay file system of raspi-config, a \
             partition of its own",
        );
    }
    match mount.kind.as_str() {
        "vfat" | "exfat" | "ntfs" | "ntfs3" | "fuseblk" => findings.wrong(
            ABOUT,
            format!(
                "{shown} is on {}, which keeps neither permissions nor what a power cut interrupts",
                mount.kind
            ),
            "put the store on ext4",
        ),
        "nfs" | "nfs4" | "cifs" | "9p" => findings.advice(
            ABOUT,
            format!("{shown} is on another machine ({}): without it nothing is stored", mount.kind),
            "put the store on a disk of this machine",
        ),
        _ => {}
    }
}

fn judge_options(mount: &Mount, directory: &Path, findings: &mut Findings) {
    let has = |wanted: &str| mount.options.split(',').any(|option| option == wanted);
    let shown = directory.display();
    if has("ro") {
        findings.wrong(
            ABOUT,
            format!("{shown} is mounted read-only: nothing can be stored"),
            "`dmesg` says whether the file system turned itself so after an error (then check it with fsck, \
             and replace the medium); else mount it rw",
        );
    }
    for option in ["nobarrier", "barrier=0"] {
        if has(option) {
            findings.wrong(
                ABOUT,
                format!("{shown} is mounted with {option}: what is said to be stored may be lost with the power"),
                "take the option out of /etc/fstab",
            );
        }
    }
}

fn judge_errors(machine: &Machine, mount: &Mount, findings: &mut Findings) {
    let Some(name) = device_name(machine, mount) else { return };
    let count = machine.text(format!("/sys/fs/ext4/{name}/errors_count"));
    let Some(count) = count.and_then(|count| count.parse::<u64>().ok()).filter(|count| *count > 0)
    else {
        return;
    };
    findings.wrong(
        ABOUT,
        format!("the file system on {} has noted {count} errors", mount.source),
        "save what is needed, check it with `fsck -f` at the next start (`touch /forcefsck`), and replace the \
         medium if they come again",
    );
}

fn judge_medium(machine: &Machine, mount: &Mount, findings: &mut Findings) {
    let Some(disk) = device_name(machine, mount).map(|name| whole_disk(&name)) else { return };
    let told = |file: &str| machine.text(format!("/sys/block/{disk}/device/{file}"));
    let remedy = "back the store's key up, and replace the medium by one that is made for writing (industrial, \
                  high endurance, or an SSD)";
    let life = told("life_time").unwrap_or_default();
    let hex = |text: &str| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let worn = life.split_whitespace().filter_map(hex).max().unwrap_or(0);
    let end = told("pre_eol_info").and_then(|text| hex(&text)).unwrap_or(0);
    if worn >= LIFE_OVER || end >= 3 {
        findings.wrong(ABOUT, format!("{disk} says that its life is over"), remedy);
    } else if worn >= LIFE_WORN || end == 2 {
        let percent = worn.saturating_sub(1) * 10;
        let text = format!("{disk} says that most of its life is used ({percent} % or more)");
        findings.advice(ABOUT, text, remedy);
    } else if told("type").as_deref() == Some("SD") {
        let name = told("name").unwrap_or_default().escape_debug().to_string();
        // How worn it is no SD card says.
        let text = format!("on an SD card ({name}), which does not say how worn it is");
        findings.good(ABOUT, text);
    }
}

/// The kernel's name of the device: `mmcblk0p2`.
fn device_name(machine: &Machine, mount: &Mount) -> Option<String> {
    let link = std::fs::read_link(machine.path(format!("/sys/dev/block/{}", mount.device))).ok()?;
    Some(link.file_name()?.to_str()?.to_owned())
}

/// `mmcblk0p2` is on `mmcblk0`, `sda1` on `sda`.
fn whole_disk(name: &str) -> String {
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if name.starts_with("mmcblk") || name.starts_with("nvme") {
        return bare
            .strip_suffix('p')
            .filter(|bare| bare.ends_with(|c: char| c.is_ascii_digit()))
            .unwrap_or(name)
            .to_owned();
    }
    bare.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::findings::one;
    use crate::cli::machine::planted::Planted;

    const STORE: &str = "/var/lib/pendant-gateway";
    const CARD: &str = "36 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw\n";

    fn found(planted: &Planted) -> (String, String, String) {
        let mut findings = Findings::default();
        examine(&planted.machine(), Path::new(STORE), &mut findings);
        one(&findings)
    }

    fn mounted(lines: &str) -> Planted {
        Planted::new(&[("/proc/self/mountinfo", lines)])
    }

    fn card(files: &[(&str, &str)]) -> Planted {
        let planted = mounted(CARD);
        planted.link("/sys/dev/block/179:2", "../../devices/mmc_host/mmc0/block/mmcblk0/mmcblk0p2");
        for (path, text) in files {
            planted.plant(path, text);
        }
        planted
    }

    fn expect(planted: &Planted, expected: (&str, &str, &str)) {
        let (grade, text, remedy) = found(planted);
        assert_eq!(grade, expected.0, "{text}");
        assert!(text.contains(expected.1), "{text}");
        assert!(remedy.contains(expected.2), "{remedy}");
    }

    #[test]
    fn a_store_in_memory_is_wrong() {
        let in_memory = format!("{CARD}40 36 0:40 / /var/lib rw - tmpfs tmpfs rw\n");
        expect(&mounted(&in_memory), ("wrong", "is in memory (tmpfs)", "[store]"));
        let overlaid = "36 1 0:30 / / rw - overlay overlay rw,lowerdir=/ro,upperdir=/media/rw/up,workdir=/w\n\
                        37 36 0:31 / /media/rw rw - tmpfs tmpfs-root rw\n";
        expect(&mounted(overlaid), ("wrong", "is in memory (overlay)", "raspi-config"));
    }

    #[test]
    fn a_file_system_that_keeps_little_is_told() {
        let stick = format!("{CARD}40 36 8:1 / /var/lib rw - vfat /dev/sda1 rw\n");
        expect(&mounted(&stick), ("wrong", "is on vfat", "ext4"));
        let far = format!("{CARD}40 36 0:50 / /var/lib rw - nfs4 server:/x rw\n");
        expect(&mounted(&far), ("advice", "on another machine", "disk of this machine"));
    }

    #[test]
    fn a_store_is_judged_where_a_link_leads() {
        let stick = format!("{CARD}40 36 8:1 / /mnt/stick rw - vfat /dev/sda1 rw\n");
        for (link, to) in [(STORE, "../../mnt/stick/store"), ("/var/lib", "../mnt/stick")] {
            let planted = mounted(&stick);
            planted.plant("/mnt/stick/store/journal", "");
            planted.link(link, to);
            expect(&planted, ("wrong", "is on vfat", "ext4"));
        }
    }

    #[test]
    fn a_mount_that_is_read_only_or_lies_about_writes_is_wrong() {
        expect(&mounted(&CARD.replace("rw,noatime", "ro,noatime")), ("wrong", "read-only", "fsck"));
        // The file system turned itself read-only.
        expect(
            &mounted(&CARD.replace("mmcblk0p2 rw", "mmcblk0p2 ro")),
            ("wrong", "read-only", "dmesg"),
        );
        let lying = CARD.replace("mmcblk0p2 rw", "mmcblk0p2 rw,nobarrier");
        expect(&mounted(&lying), ("wrong", "with nobarrier", "/etc/fstab"));
    }

    #[test]
    fn errors_that_the_file_system_noted_are_told() {
        let planted = card(&[("/sys/fs/ext4/mmcblk0p2/errors_count", "3\n")]);
        expect(&planted, ("wrong", "has noted 3 errors", "fsck"));
        let planted = card(&[("/sys/fs/ext4/mmcblk0p2/errors_count", "0\n")]);
        expect(&planted, ("good", "is on /dev/mmcblk0p2 (ext4)", ""));
    }

    #[test]
    fn a_worn_medium_is_told_before_it_ends() {
        let life = "/sys/block/mmcblk0/device/life_time";
        let end = "/sys/block/mmcblk0/device/pre_eol_info";
        expect(&card(&[(life, "0x0b 0x01\n")]), ("wrong", "its life is over", "replace"));
        expect(
            &card(&[(life, "0x01 0x01\n"), (end, "0x03\n")]),
            ("wrong", "its life is over", "key"),
        );
        expect(&card(&[(life, "0x09 0x02\n")]), ("advice", "(80 % or more)", "SSD"));
        expect(&card(&[(life, "0x01 0x02\n"), (end, "0x01\n")]), ("good", "is on", ""));
        let kind = "/sys/block/mmcblk0/device/type";
        expect(&card(&[(kind, "SD\n")]), ("good", "on an SD card", ""));
    }

    #[test]
    fn the_whole_disk_of_a_partition_is_known() {
        for (name, disk) in [
            ("mmcblk0p2", "mmcblk0"),
            ("sda1", "sda"),
            ("nvme0n1p1", "nvme0n1"),
            ("mmcblk0", "mmcblk0"),
            ("vda", "vda"),
        ] {
            assert_eq!(whole_disk(name), disk);
        }
    }
}
