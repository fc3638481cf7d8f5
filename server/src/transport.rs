//! Roads to the broker that it does not build itself: each makes STOMP sessions of what its clients say, so that these
//! are guarded, bounded and answered by the code that serves all others.

pub(crate) mod socketio;
pub(crate) mod sockjs;
