//! A STOMP broker in the process: destinations, subscriptions, acknowledgement, fan-out, resumable topics.
