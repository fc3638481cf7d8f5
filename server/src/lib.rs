//! The Landside server: transports, identity, ingest, live state, alarms, commands, store, pages, API.
