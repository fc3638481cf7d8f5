//! `landside-server audit verify`: reads the whole chain and says what is wrong with it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use server::audit::head::{Head, Heads};
use server::audit::verify::{Verdict, Verifier};
use server::config::Config;
use server::store::audit_chain::read_chain;

use super::database::{Missing, reach};

/// Something is wrong with the audit.
const EXIT_FOUND: u8 = 1;

/// Whether something is wrong could not be found out.
pub(crate) const EXIT_UNVERIFIED: u8 = 2;

#[derive(clap::Subcommand)]
pub(crate) enum AuditCommand {
    /// Verifies the chain: 0 when it is whole, 1 when it is not, 2 when nobody can say.
    Verify {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
        /// The published heads; without it, those of the file that the configuration names.
        #[arg(long)]
        heads: Option<PathBuf>,
        /// There are none: verifies only that the rows follow each other, not that they are the ones that were written.
        #[arg(long, conflicts_with = "heads")]
        no_heads: bool,
    },
}

impl AuditCommand {
    /// The configuration file.
    pub(crate) fn config(&self) -> &Path {
        let Self::Verify { config, .. } = self;
        config
    }

    /// What is to be said, line by line, and how the program ends.
    pub(crate) async fn run(&self, config: &Config) -> (Vec<String>, ExitCode) {
        let Self::Verify {
            heads, no_heads, ..
        } = self;
        let verified = async {
            let (heads, lines) = match no_heads {
                true => (Heads::default(), Vec::new()),
                false => read_heads(config, heads.as_deref())?,
            };
            let is_sure = heads.unreadable.is_empty();
            let verdict = verify(config, heads.heads).await?;
            Ok::<_, anyhow::Error>(told(&verdict, lines, is_sure, *no_heads))
        };
        verified.await.unwrap_or_else(|error| {
            let line = format!("the audit could not be verified: {error:#}");
            (vec![line], ExitCode::from(EXIT_UNVERIFIED))
        })
    }
}

async fn verify(config: &Config, heads: Vec<Head>) -> anyhow::Result<Verdict> {
    let mut verifier = Verifier::new(heads);
    // Making an empty one to say that it is whole would be no answer.
    let (url, cluster) = reach(config, Missing::Refused).await?;
    let read = read_chain(&url, |row| verifier.take(row)).await;
    let stopped = match cluster {
        Some(cluster) => cluster.stop().await,
        None => Ok(()),
    };
    read?;
    stopped?;
    Ok(verifier.finish())
}

/// The heads, and what is to be said of them. A file that somebody named must be there.
fn read_heads(config: &Config, named: Option<&Path>) -> anyhow::Result<(Heads, Vec<String>)> {
    let path = named.unwrap_or(&config.audit.head);
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            let line = format!(
                "there is no {}: a rewritten chain, or one whose end was cut off, cannot be told from a whole one",
                path.display()
            );
            return Ok((Heads::default(), vec![line]));
        }
        Err(error) => return Err(anyhow!("cannot read {}: {error}", path.display())),
    };
    let heads = Heads::read(&text);
    let lines = heads.unreadable.iter().map(|line| {
        format!(
            "{}, line {line} is no head and was left out",
            path.display()
        )
    });
    let lines = lines.collect();
    Ok((heads, lines))
}

/// The findings behind `lines`, and what follows from all: no row is known to be the one that was written unless a head
/// says so, and what stood in a line that is no head nobody knows.
fn told(
    verdict: &Verdict,
    mut lines: Vec<String>,
    is_sure: bool,
    no_heads: bool,
) -> (Vec<String>, ExitCode) {
    lines.extend(verdict.findings.iter().map(ToString::to_string));
    if verdict.more > 0 {
        lines.push(format!("and {} more", verdict.more));
    }
    let (rows, heads) = (verdict.rows, verdict.heads);
    let (line, status) = if !verdict.findings.is_empty() {
        let line = format!("THE AUDIT IS NOT WHOLE: rows: {rows}, published heads: {heads}");
        (line, ExitCode::from(EXIT_FOUND))
    } else if no_heads {
        let line = format!("its rows follow each other; no head was compared: rows: {rows}");
        (line, ExitCode::SUCCESS)
    } else if is_sure && (heads > 0 || rows == 0) {
        let line = format!("the audit is whole: rows: {rows}, published heads: {heads}");
        (line, ExitCode::SUCCESS)
    } else {
        let why = match is_sure {
            true => {
                "no published head says that they are the ones that were written (is there none, say --no-heads)"
            }
            false => "not every line of the published heads could be read",
        };
        let line = format!(
            "the audit could not be verified: its rows follow each other (rows: {rows}), but {why}"
        );
        (line, ExitCode::from(EXIT_UNVERIFIED))
    };
    lines.push(line);
    (lines, status)
}
