//! The server as its clients see it: real Postgres, real sockets, one database for each test.
//!
//! Needs `DATABASE_URL` of a role that may create databases; `make test` brings a throw-away cluster.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod access;
mod agent;
mod agent_tls;
mod alarms;
mod attack_table;
mod attacks;
mod audit;
mod bounds;
mod command_line;
mod commands;
mod cross_site;
mod database;
mod duty;
mod external;
mod fake_provider;
mod harness;
mod ingest;
mod listener;
mod listener_tls;
mod locked;
mod logins;
mod oauth;
mod openapi;
mod outage;
mod pages;
mod people;
mod people_page;
mod plates;
mod policy;
mod policy_check;
mod processes;
mod restart;
mod rights;
mod scan;
mod secrets;
mod socketio;
mod socketio_client;
mod sockjs;
mod stomp_client;
mod swallowing;
mod tidy;
mod token_flows;
mod truth;
