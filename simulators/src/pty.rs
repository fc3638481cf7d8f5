//! A serial line without hardware: a pty whose other end has a stable name.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, ioctl_tiocnxcl, tcgetattr, tcsetattr};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How often a lock that its owner left behind is taken away; see [`Pty::unlock`].
pub(crate) const UNLOCK_PERIOD: Duration = Duration::from_millis(250);

/// The device's end of a serial line.
#[derive(Debug)]
pub(crate) struct Pty {
    device_end: AsyncFd<File>,
    /// Kept open, or each read here would fail while no agent has the line open.
    agent_end: File,
    link: PathBuf,
}

impl Pty {
    /// Makes a line that the agent opens at `link`; a link that an earlier run left is replaced.
    pub(crate) fn open(link: PathBuf) -> io::Result<Self> {
        let device_end = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&device_end)?;
        unlockpt(&device_end)?;
        let name = ptsname(&device_end, Vec::new())?;
        let path = Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()));
        let agent_end = File::options().read(true).write(true).open(path)?;
        // Raw: no echo of what the agent sends, no translation of 0x0A, no signal for 0x03.
        let mut termios = tcgetattr(&agent_end)?;
        termios.make_raw();
        tcsetattr(&agent_end, OptionalActions::Now, &termios)?;
        let flags = fcntl_getfl(&device_end)?;
        fcntl_setfl(&device_end, flags | OFlags::NONBLOCK)?;
        replace_link(path, &link)?;
        #[expect(
            deprecated,
            reason = "the successor is unsafe to call; a File keeps its descriptor, which is what it asks for"
        )]
        let device_end = AsyncFd::new(File::from(device_end))?;
        Ok(Self {
            device_end,
            agent_end,
            link,
        })
    }

    /// Takes away the exclusive lock (`TIOCEXCL`) that serial libraries set. A real port loses it with the last
    /// close; a pty keeps it, and would refuse an agent that was restarted.
    pub(crate) fn unlock(&self) -> io::Result<()> {
        Ok(ioctl_tiocnxcl(&self.agent_end)?)
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // The number under /dev/pts is given to somebody else soon; a link that is already gone is as good.
        let _gone = std::fs::remove_file(&self.link);
    }
}

fn replace_link(target: &Path, link: &Path) -> io::Result<()> {
    match std::fs::remove_file(link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => symlink(target, link),
    }
}

impl AsyncRead for Pty {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.device_end.poll_read_ready(context))?;
            let unfilled = buffer.initialize_unfilled();
            if let Ok(count) = ready.try_io(|device_end| device_end.get_ref().read(unfilled)) {
                buffer.advance(count?);
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Pty {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.device_end.poll_write_ready(context))?;
            if let Ok(written) = ready.try_io(|device_end| device_end.get_ref().write(bytes)) {
                return Poll::Ready(written);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
