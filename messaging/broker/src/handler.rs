//! What the application does when a client SENDs to `/app/**`.

use std::borrow::Cow;
use std::future::Future;

use stomp::{Frame, Version};

use crate::guard::{Action, Denied};
use crate::peer::Peer;
use crate::position::SessionId;

/// Whose frame it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo<P> {
    /// Which session: answers go there by [`crate::Publisher::send_to_session`].
    pub id: SessionId,
    /// Who it is.
    pub subject: String,
    /// What the guard remembered, at the last renewal of the token.
    pub principal: P,
    /// Where the connection comes from.
    pub peer: Peer,
    /// The version that the session speaks.
    pub version: Version,
}

/// Why a frame was not processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The frame asks for something that cannot be. It is told on `/user/queue/errors` (headers `code`, `message`,
    /// `receipt-id` if a receipt was asked for, and `refused-destination`; the message again as the body), there is
    /// no RECEIPT, and the session lives.
    Refused {
        /// For machines: lower case with hyphens.
        code: Cow<'static, str>,
        /// For people.
        message: String,
    },
    /// It cannot be processed now. There is no RECEIPT; the session ends with ERROR `unavailable`, so that the client
    /// connects again and sends again.
    Unavailable,
}

impl Refusal {
    /// A refusal that is told on `/user/queue/errors`.
    pub fn refused(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::Refused {
            code: code.into(),
            message: message.into(),
        }
    }
}

/// A frame that is handed over says `true` in this header if it brought a new token, which was taken. A client's own copy
/// is removed.
pub const RENEWED: &str = "x-renewed";

/// Does what clients ask for.
pub trait Handler<P>: Send + Sync + 'static {
    /// Handles one SEND to `/app/**`, which the guard has allowed. The session's next frame waits until this is done;
    /// messages to the session and heart-beats do not. `Ok` means *durable*: the client gets its RECEIPT. The frame
    /// has no `Authorization`, `login` and `passcode` any more.
    ///
    /// When the connection is lost meanwhile, the work is finished all the same, but for at most
    /// [`crate::BrokerConfig::handler_grace`].
    ///
    /// # Errors
    /// [`Refusal`]: what becomes of the frame and of the session.
    fn handle(
        &self,
        session: &SessionInfo<P>,
        frame: &Frame,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// A session is over: no frame of it is handled any more, and no message reaches it. Called once for each session
    /// that was let in.
    fn ended(&self, session: &SessionInfo<P>);

    /// The guard refused what a client asked for, and the session ends by that: for whoever writes such things down.
    /// Nothing may wait here.
    fn refused(
        &self,
        _session: &SessionInfo<P>,
        _action: Action,
        _destination: &str,
        _denied: &Denied,
    ) {
    }
}
