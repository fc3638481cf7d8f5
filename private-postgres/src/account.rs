//! Who runs Postgres, and how a program is started as that account.
//!
//! Postgres refuses user id 0. Switching goes through `setpriv` (util-linux) because std has no way to set the
//! parent-death signal without unsafe code, and because `setpriv` replaces itself: the process id stays that of
//! the child we started.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::ClusterError;

/// The account that Postgres runs as.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) name: String,
    /// True when this process is another user (root) and has to switch.
    pub(crate) switch: bool,
}

impl Account {
    /// The owner of an existing data directory, since Postgres accepts nobody else; for a new one this user, or
    /// for root the first of `postgres` and `nobody` that exists.
    pub(crate) fn for_data(data: &Path) -> Result<Self, ClusterError> {
        let me = rustix::process::geteuid().as_raw();
        let owner = fs::metadata(data).ok().map(|metadata| metadata.uid());
        if me != 0 {
            let name = name_of(me)?;
            return match owner {
                Some(owner) if owner != me => Err(ClusterError::ForeignOwner {
                    directory: data.to_owned(),
                    owner,
                    user: name,
                }),
                _ => Ok(Self {
                    uid: me,
                    gid: rustix::process::getegid().as_raw(),
                    name,
                    switch: false,
                }),
            };
        }
        let candidates = match owner {
            Some(owner) if owner != 0 => vec![owner.to_string()],
            _ => vec!["postgres".to_owned(), "nobody".to_owned()],
        };
        for candidate in candidates {
            if let Some((name, uid, gid)) = look_up(&candidate)? {
                return Ok(Self {
                    uid,
                    gid,
                    name,
                    switch: true,
                });
            }
        }
        match owner {
            Some(owner) if owner != 0 => Err(ClusterError::ForeignOwner {
                directory: data.to_owned(),
                owner,
                user: "root".to_owned(),
            }),
            _ => Err(ClusterError::NoUnprivilegedUser),
        }
    }

    /// A command that runs `program` as this account, from `/` and with a bare environment: the caller's
    /// directory may be closed to the account, and variables such as PGDATA or PGPORT must not reach it.
    pub(crate) fn command(&self, program: &Path) -> Command {
        self.prepared(program, &[])
    }

    /// Like [`Self::command`], and the program is interrupted (SIGINT) when the thread that starts it ends.
    pub(crate) fn command_that_dies_with_us(&self, program: &Path) -> Command {
        self.prepared(program, &["--pdeathsig", "INT"])
    }

    fn prepared(&self, program: &Path, options: &[&str]) -> Command {
        let mut command = if self.switch || !options.is_empty() {
            let mut command = Command::new("setpriv");
            if self.switch {
                command.args([
                    "--reuid",
                    &self.uid.to_string(),
                    "--regid",
                    &self.gid.to_string(),
                    "--clear-groups",
                ]);
            }
            command.args(options).arg("--").arg(program);
            command
        } else {
            Command::new(program)
        };
        command
            .env_clear()
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null());
        // Where set, these two decide whether programs and libraries are found at all.
        for variable in ["PATH", "LD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(variable) {
                command.env(variable, value);
            }
        }
        command
    }

    /// Whether this account can enter a directory, tried rather than computed: access lists and mounts have a
    /// say as well.
    pub(crate) fn can_enter(&self, directory: &Path) -> Result<bool, ClusterError> {
        let status = self
            .command(Path::new("sh"))
            .args([
                OsStr::new("-c"),
                OsStr::new("cd \"$1\""),
                OsStr::new("sh"),
                directory.as_os_str(),
            ])
            .stderr(Stdio::null())
            .status()
            .map_err(missing_setpriv)?;
        Ok(status.success())
    }
}

/// The name of the user that this process runs as; `peer` authentication compares names.
pub(crate) fn own_name() -> Result<String, ClusterError> {
    name_of(rustix::process::geteuid().as_raw())
}

/// For `map_err` on starting a [`Command`] of an [`Account`].
pub(crate) fn missing_setpriv(source: std::io::Error) -> ClusterError {
    ClusterError::MissingProgram {
        program: "setpriv",
        package: "util-linux",
        source,
    }
}

fn name_of(uid: u32) -> Result<String, ClusterError> {
    // A user id without an entry cannot be named; initdb will say so in its own words.
    Ok(look_up(&uid.to_string())?.map_or_else(|| uid.to_string(), |(name, ..)| name))
}

/// Asks the system's user database (files, LDAP and so on) for a name or a user id.
fn look_up(key: &str) -> Result<Option<(String, u32, u32)>, ClusterError> {
    let output = Command::new("getent")
        .args(["passwd", key])
        .stdin(Stdio::null())
        .output()
        .map_err(|source| ClusterError::MissingProgram {
            program: "getent",
            package: "libc-bin",
            source,
        })?;
    Ok(parse_passwd(&String::from_utf8_lossy(&output.stdout)))
}

/// Reads one line of passwd(5): name, user id, group id.
fn parse_passwd(line: &str) -> Option<(String, u32, u32)> {
    let mut fields = line.trim_end().split(':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some((name.to_owned(), uid, gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwd_lines_give_name_user_and_group() {
        let check = |line: &str, expected: Option<(&str, u32, u32)>| {
            assert_eq!(
                parse_passwd(line),
                expected.map(|(name, uid, gid)| (name.to_owned(), uid, gid)),
                "{line}"
            );
        };
        check(
            "postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash\n",
            Some(("postgres", 101, 104)),
        );
        check("nobody:*:65534:65533::/:", Some(("nobody", 65534, 65533)));
        check("", None);
        check("broken:x:abc:1", None);
        check("short:x", None);
    }
}
