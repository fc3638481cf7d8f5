//! `landside-server audit verify`: reads the whole chain and says what is wrong with it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use server::audit::head::Heads;
use server::audit::verify::{Verdict, Verifier};
use server::config::Config;
use server::store::audit_chain::read_chain;

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
        let Self::Verify { heads, .. } = self;
        match verify(config, heads.as_deref()).await {
            Ok((lines, true)) => (lines, ExitCode::SUCCESS),
            Ok((lines, false)) => (lines, ExitCode::from(EXIT_FOUND)),
            Err(error) => (
                vec![format!("the audit could not be verified: {error:#}")],
                ExitCode::from(EXIT_UNVERIFIED),
            ),
        }
    }
}

async fn verify(config: &Config, heads: Option<&Path>) -> anyhow::Result<(Vec<String>, bool)> {
    let (heads, mut lines) = read_heads(config, heads)?;
    let mut verifier = Verifier::new(heads.heads);
    let place = config.data.join("postgres");
    // Making an empty one to say that it is whole would be no answer.
    if config.database_url.is_none() && !place.exists() {
        return Err(anyhow!(
            "DATABASE_URL is not set, and there is no private cluster at {}",
            place.display()
        ));
    }
    let (url, cluster) = super::database::reach(config).await?;
    let read = read_chain(&url, |row| verifier.take(row)).await;
    let stopped = match cluster {
        Some(cluster) => cluster.stop().await,
        None => Ok(()),
    };
    read?;
    stopped?;
    let verdict = verifier.finish();
    lines.extend(told(&verdict));
    Ok((lines, verdict.findings.is_empty()))
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

fn told(verdict: &Verdict) -> Vec<String> {
    let mut lines: Vec<String> = verdict.findings.iter().map(ToString::to_string).collect();
    if verdict.more > 0 {
        lines.push(format!("and {} more", verdict.more));
    }
    let (rows, heads) = (verdict.rows, verdict.heads);
    lines.push(if verdict.findings.is_empty() {
        format!("the audit is whole: {rows} rows, {heads} published heads")
    } else {
        format!("THE AUDIT IS NOT WHOLE: {rows} rows, {heads} published heads")
    });
    lines
}
