//! From the equipment to the broker and back: drivers, profiles, polling, fault rules, outbox, command execution.
