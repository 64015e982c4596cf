//! A block file of one's own: one file in a FUSE file system that records every
//! write and every flush that reaches it, so that what was on it at any moment can
//! be built again.

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyWrite, Request, WriteFlags,
};
use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

/// The file's name in its folder.
pub const NAME: &str = "disk";
const FILE: u64 = 2;
const TTL: Duration = Duration::from_secs(3600);

/// What reached the device.
pub enum Step {
    Write { offset: usize, bytes: Vec<u8> },
    Flush,
}

/// The device's content and history.
pub struct Record {
    pub content: Vec<u8>,
    pub steps: Vec<Step>,
}

#[derive(Clone)]
pub struct Device(Arc<Mutex<Record>>);

impl Device {
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Mutex::new(Record { content: vec![0; bytes], steps: Vec::new() })))
    }

    pub fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows it as the file [`NAME`] in a folder.
    pub fn mount(&self, folder: &Path) -> std::io::Result<BackgroundSession> {
        let mut options = Config::default();
        options.mount_options = vec![MountOption::FSName("block-file".into())];
        fuser::spawn_mount(self.clone(), folder, &options)
    }

    fn attr(&self, ino: INodeNo) -> FileAttr {
        let is_file = u64::from(ino) == FILE;
        FileAttr {
            ino,
            size: if is_file { self.record().content.len() as u64 } else { 0 },
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_file { FileType::RegularFile } else { FileType::Directory },
            perm: if is_file { 0o600 } else { 0o700 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 512,
            flags: 0,
        }
    }
}

impl Filesystem for Device {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == NAME {
            reply.entry(&TTL, &self.attr(INodeNo(FILE)), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TTL, &self.attr(ino));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // Nothing of it is kept by the kernel above: what is written comes here.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let record = self.record();
        let from = (offset as usize).min(record.content.len());
        let to = (from + size as usize).min(record.content.len());
        reply.data(&record.content[from..to]);
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut record = self.record();
        let offset = offset as usize;
        let Some(place) = record.content.get_mut(offset..offset + data.len()) else {
            reply.error(Errno::ENOSPC);
            return;
        };
        place.copy_from_slice(data);
        record.steps.push(Step::Write { offset, bytes: data.to_vec() });
        reply.written(u32::try_from(data.len()).expect("the kernel writes less at once"));
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.record().steps.push(Step::Flush);
        reply.ok();
    }
}
