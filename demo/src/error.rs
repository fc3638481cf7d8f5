//! How a demo fails; one that is asked to stop has not failed.

/// Why a demo ended.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// Something that the person gave or has installed is wrong; nothing was started, or nothing but a server that said
    /// so and ended.
    #[error("{0}")]
    Configuration(String),
    /// Something failed; everything was stopped.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

impl LaunchError {
    pub(crate) fn configuration(sentence: impl Into<String>) -> Self {
        Self::Configuration(sentence.into())
    }
}
