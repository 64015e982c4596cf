//! A serial receiver that is not there: the device's end of a pseudo terminal.
//!
//! The gateway opens [`PtyPort::path`] as it would a USB adapter. Dropping the
//! twin is pulling the plug: the gateway reads end of file or `EIO`, as it does
//! from a real port.

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe;

/// The device's end of a pseudo terminal. What is written here the gateway
/// reads, and the reverse.
#[derive(Debug)]
pub struct PtyPort {
    /// Two descriptors of the one master. Tokio has no type for a terminal, and
    /// these ask of a descriptor only that it can be polled, read and written.
    read: pipe::Receiver,
    write: pipe::Sender,
    /// Held open so that the device may speak before the gateway opens the port
    /// and while it opens it again.
    _slave: OwnedFd,
    path: PathBuf,
}

impl PtyPort {
    /// Opens a new pseudo terminal in raw mode and says where its other end is.
    ///
    /// # Errors
    /// The system gives none.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O.
    pub fn open() -> io::Result<(Self, PathBuf)> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let path = PathBuf::from(OsString::from_vec(name.into_bytes()));
        let slave = rustix::fs::open(
            &path,
            OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let mut termios = tcgetattr(&slave)?;
        termios.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &termios)?;
        rustix::io::ioctl_fionbio(&master, true)?;
        let port = Self {
            read: pipe::Receiver::from_owned_fd_unchecked(master.try_clone()?)?,
            write: pipe::Sender::from_owned_fd_unchecked(master)?,
            _slave: slave,
            path: path.clone(),
        };
        Ok((port, path))
    }

    /// Where the gateway opens it.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsyncRead for PtyPort {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(context, buffer)
    }
}

impl AsyncWrite for PtyPort {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.write).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_shutdown(context)
    }
}
